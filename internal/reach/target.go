package reach

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/internal/text"
)

// DialFunc makes connections, as net.Dialer.DialContext does.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// Config says which relay to get to, and how. URL is required.
type Config struct {
	URL string // http:// or https://, host, optional port; the path defaults to /derp

	RootCAs            *x509.CertPool // for the relay and for an https proxy; nil: those of the system
	CertName           string         // a pin, or the name to verify instead of the URL's host
	InsecureSkipVerify bool           // accepts every certificate of the relay

	Sessions tls.ClientSessionCache // of TLS, for a server that resumes them; nil: each handshake is whole

	Proxy       func(*http.Request) (*url.URL, error) // nil: ProxyFromEnvironment
	DialContext DialFunc                              // nil: net.Dialer
}

// Target is a Config that was found valid, with what follows from it.
type Target struct {
	Config
	Location *url.URL // without user and fragment, and without the port if it is the default
	TLS      bool
	Host     string // without port and brackets
	Addr     string // host and port to connect to
	Pin      pin.Pin
	Via      *url.URL // the proxy; nil: none; not known before FindProxy
}

// New checks a Config.
func New(cfg Config) (*Target, error) {
	t := &Target{Config: cfg}
	if err := t.parseURL(); err != nil {
		return nil, err
	}
	if pin.Is(t.CertName) {
		var err error
		if t.Pin, err = pin.Parse(t.CertName); err != nil {
			return nil, err
		}
	}
	if t.Proxy == nil {
		t.Proxy = ProxyFromEnvironment
	}
	if t.DialContext == nil {
		t.DialContext = new(net.Dialer).DialContext
	}
	return t, nil
}

func (t *Target) parseURL() error {
	u, err := url.Parse(t.URL)
	shown := text.RedactURL(t.URL)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("URL %q: %w", shown, failed.Err)
	}
	defaultPort := map[string]string{"https": "443", "http": "80"}[u.Scheme]
	if defaultPort == "" {
		return fmt.Errorf("URL %q: want https:// or http://", shown)
	}
	if u.Hostname() == "" {
		return fmt.Errorf("URL %q: want a host name or an IP address after the scheme", shown)
	}
	if err := Usable(u.Hostname()); err != nil {
		return fmt.Errorf("URL %q: want a host name or an IP address after the scheme: %w", shown, err)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("URL %q: want a port from 1 to 65535", shown)
		}
	}
	if u.Path == "" {
		u.Path = "/derp"
	}
	port := u.Port()
	if port == "" || port == defaultPort {
		port, u.Host = defaultPort, strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	u.User, u.Fragment = nil, ""
	t.Location, t.TLS, t.Host = u, u.Scheme == "https", u.Hostname()
	t.Addr = net.JoinHostPort(t.Host, port)
	return nil
}

// HostHeader returns what stands in requests: without the port if it is the default.
func (t *Target) HostHeader() string { return t.Location.Host }

// Usable says why a host cannot be connected to and named in a request. Names with
// underscores work, although no authority certifies them; so does an address such as
// 0.0.0.0, on some systems.
func Usable(host string) error {
	_, err := hostname.Parse(host)
	if wrong, ok := errors.AsType[*hostname.Error](err); ok && (wrong.Kind == hostname.Underscore || wrong.Kind == hostname.Nowhere) {
		return nil
	}
	return err
}

// isAddr reports whether the host is an IP address, for which TLS sends no name.
func isAddr(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
