package daemon

import (
	"crypto/x509"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// An address is where peers find a relay, as far as the relay can know it.
type address struct {
	hostname string // may be empty
	bound    netip.AddrPort
	leaf     *x509.Certificate // nil without TLS
}

// url names the relay by its host name, by a name of its certificate, or by the
// address of its listener.
func (a address) url() string {
	host, scheme, usual := a.hostname, "https", uint16(443)
	if a.leaf == nil {
		scheme, usual = "http", 80
	} else if host == "" {
		host = nameOf(a.leaf)
	}
	if host == "" {
		host = dialable(a.bound).Addr().String()
	}
	if a.bound.Port() != usual {
		return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(a.bound.Port()))) + "/derp"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host + "/derp"
}

// checkURL is url with a name to ask for in any case.
func (a address) checkURL() string {
	if a.hostname == "" && a.leaf != nil {
		a.hostname = wildcardName(a.leaf)
	}
	return a.url()
}

// nameOf returns a name the certificate is valid for; "" if it has none that
// can be dialled.
func nameOf(leaf *x509.Certificate) string {
	for _, name := range leaf.DNSNames {
		if !strings.HasPrefix(name, "*") {
			return name
		}
	}
	if len(leaf.IPAddresses) > 0 {
		return leaf.IPAddresses[0].String()
	}
	return ""
}

// wildcardName returns one of the names that a certificate is valid for which has
// wildcards only, none of which can be dialled; "" for others.
func wildcardName(leaf *x509.Certificate) string {
	if nameOf(leaf) != "" || len(leaf.DNSNames) == 0 {
		return ""
	}
	return strings.Replace(leaf.DNSNames[0], "*", "relay", 1)
}
