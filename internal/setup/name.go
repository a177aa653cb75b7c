package setup

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/detour-relay/detour/internal/hostname"
)

// Name is the host that people mean by what they have written, as DNS and certificates
// have it. Said is what they should know of the difference; empty: there is none.
func Name(written string) (host, said string, err error) {
	host, err = hostname.Parse(written)
	if err == nil {
		if !strings.EqualFold(host, strings.TrimSuffix(written, ".")) {
			said = fmt.Sprintf("%q is taken as %s", written, host)
		}
		return host, said, nil
	}
	e, ok := errors.AsType[*hostname.Error](err)
	if !ok || e.Host == "" {
		return "", "", err
	}
	said = fmt.Sprintf("%q %s: taken as %s", e.Name, e.What, e.Host)
	if port := portOf(written); port != "" && port != "443" {
		said += fmt.Sprintf("; which port the relay has says {listen}: :%s", port)
	}
	return e.Host, said, nil
}

// portOf is the port of what may be a URL or an address.
func portOf(written string) string {
	if u, err := url.Parse(strings.TrimSpace(written)); err == nil && u.Host != "" {
		return u.Port()
	}
	if _, port, err := net.SplitHostPort(strings.TrimSpace(written)); err == nil {
		return port
	}
	return ""
}

// IsAddress reports whether a host is an IP address.
func IsAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
