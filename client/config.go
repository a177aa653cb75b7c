package client

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/key"
)

// WebSocketMode says when frames travel in WebSocket messages.
type WebSocketMode int

const (
	// WebSocketFallback tries a WebSocket after the usual upgrade was answered with HTTP status 400, 405, 426, 501 or 502,
	// or with the end of the connection: the marks of a middlebox that drops the Upgrade header or does not know its value.
	// Other failures (403 and other refusals, redirects, 429 and 503, certificates) would only be repeated.
	WebSocketFallback WebSocketMode = iota
	// WebSocketNever fails instead.
	WebSocketNever
	// WebSocketAlways does not try the usual upgrade.
	WebSocketAlways
)

// Config says which relay to connect to, how, and as whom. URL and Key are required.
type Config struct {
	URL string // http:// or https://, host, optional port; the path defaults to /derp

	Key       key.Private // who we are
	MeshKey   key.Mesh    // asks for the rights of a sibling
	Prober    bool        // says that we are a monitoring program
	AppName   string      // at most 32 bytes of printable ASCII, for the relay's statistics
	Preferred bool        // says that this relay is our home
	IdealNode string      // name of the node that we would rather be on

	ServerKey key.Public // what the relay's key must be; zero: any

	RootCAs            *x509.CertPool // for the relay and for an https proxy; nil: those of the system
	CertName           string         // "sha256-raw:" and the lowercase hex SHA-256 of the one certificate to accept, or the name to verify instead of the host
	InsecureSkipVerify bool           // accepts every certificate, for tests

	WebSocket WebSocketMode

	// Proxy tells the HTTP proxy for a request, as in http.Transport; nil: from the environment. It is asked for an https
	// URL, whatever URL says.
	Proxy func(*http.Request) (*url.URL, error)
	// DialContext makes TCP connections, to the proxy if there is one; nil: net.Dialer. One that knows the relay's address
	// already may ignore what it is asked for.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// RecordPerPacket makes SendBatch seal each packet into a TLS record of its own, as Tailscale's clients do, which costs
	// the relay more. It is still one write to the socket.
	RecordPerPacket bool
}

// target is a Config that was found valid, with what follows from it.
type target struct {
	Config
	url      *url.URL
	useTLS   bool
	host     string   // without port and brackets
	addr     string   // host and port to connect to
	hostPort string   // for the Host header: without the port if it is the default
	pin      pin.Pin  // of the certificate; zero: not pinned
	proxy    *url.URL // nil: none; not known before findProxy
}

func newTarget(cfg Config) (*target, error) {
	t := &target{Config: cfg}
	if err := t.parseURL(); err != nil {
		return nil, err
	}
	if err := t.parsePin(); err != nil {
		return nil, err
	}
	switch {
	case !derp.ValidAppName(cfg.AppName):
		return nil, fmt.Errorf("application name %q: want at most 32 bytes of printable ASCII", cfg.AppName)
	case !printable(cfg.IdealNode):
		return nil, fmt.Errorf("name of the ideal node %q: want printable ASCII", cfg.IdealNode)
	}
	if t.Proxy == nil {
		t.Proxy = http.ProxyFromEnvironment
	}
	if t.DialContext == nil {
		t.DialContext = new(net.Dialer).DialContext
	}
	return t, nil
}

// newLogin is newTarget for those who want to log in.
func newLogin(cfg Config) (*target, error) {
	if cfg.Key.IsZero() {
		return nil, errors.New("no key to log in with")
	}
	return newTarget(cfg)
}

func (t *target) parseURL() error {
	u, err := url.Parse(t.URL)
	if err != nil {
		return err // names the URL
	}
	defaultPort := map[string]string{"https": "443", "http": "80"}[u.Scheme]
	if defaultPort == "" {
		return fmt.Errorf("URL %q: want https:// or http://", t.URL)
	}
	if !validHost(u.Hostname()) {
		return fmt.Errorf("URL %q: want a host name or an IP address after the scheme", t.URL)
	}
	if u.Path == "" {
		u.Path = "/derp"
	}
	port := u.Port()
	if port == "" || port == defaultPort {
		port, u.Host = defaultPort, strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	u.User, u.Fragment = nil, ""
	t.url, t.useTLS, t.host, t.hostPort = u, u.Scheme == "https", u.Hostname(), u.Host
	t.addr = net.JoinHostPort(t.host, port)
	return nil
}

func (t *target) parsePin() (err error) {
	if pin.Is(t.CertName) {
		t.pin, err = pin.Parse(t.CertName)
	}
	return err
}

// validHost reports whether host can go into a request: an IP address without a zone (which may contain anything), or
// letters, digits, dots, hyphens and underscores.
func validHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == ""
	}
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
	return host != "" && len(host) <= 253 && strings.Trim(host, allowed) == ""
}

func printable(text string) bool {
	for _, c := range []byte(text) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}
