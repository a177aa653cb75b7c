package client

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/key"
)

// WebSocketMode says when frames travel in WebSocket messages.
type WebSocketMode int

const (
	// WebSocketFallback tries a WebSocket at the same URL when the usual upgrade
	// was answered with anything but a relay's consent: any other HTTP status, no
	// HTTP, the end of the connection, or nothing within half of the time that
	// there is (5 s at most). Such an answer is that of something before the relay,
	// which may let WebSockets through; but not what a relay says of itself, such as
	// that it is shutting down.
	// Failures on the way there (of names, connections, certificates, proxies)
	// would only be repeated.
	WebSocketFallback WebSocketMode = iota
	// WebSocketNever fails instead.
	WebSocketNever
	// WebSocketAlways does not try the usual upgrade.
	WebSocketAlways
)

// Config says which relay to connect to, how, and as whom. URL and Key are
// required.
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

	// Proxy tells the HTTP proxy for a request, as in http.Transport; nil: from the
	// environment, where a variable that cannot be read is an error. It is asked
	// for an https URL, whatever URL says.
	Proxy func(*http.Request) (*url.URL, error)
	// DialContext makes TCP connections, to the proxy if there is one; nil:
	// net.Dialer. One that knows the relay's address already may ignore what it is
	// asked for.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// RecordPerPacket makes SendBatch seal each packet into a TLS record of its
	// own, as Tailscale's clients do, which costs the relay more. It is still one
	// write to the socket.
	RecordPerPacket bool

	problem error // why AtNode found no way to the node
}

// target is a Config that was found valid.
type target struct {
	Config
	*reach.Target
}

func newTarget(cfg Config) (*target, error) {
	if cfg.problem != nil {
		return nil, cfg.problem
	}
	to, err := reach.New(cfg.reach())
	switch {
	case err != nil:
		return nil, err
	case !derp.ValidAppName(cfg.AppName):
		return nil, fmt.Errorf("application name %q: want at most 32 bytes of printable ASCII", cfg.AppName)
	case !printable(cfg.IdealNode):
		return nil, fmt.Errorf("name of the ideal node %q: want printable ASCII", cfg.IdealNode)
	}
	return &target{cfg, to}, nil
}

// newLogin is newTarget for those who want to log in.
func newLogin(cfg Config) (*target, error) {
	if cfg.Key.IsZero() {
		return nil, errors.New("no key to log in with")
	}
	return newTarget(cfg)
}

func (cfg Config) reach() reach.Config {
	return reach.Config{
		URL: cfg.URL, RootCAs: cfg.RootCAs, CertName: cfg.CertName, InsecureSkipVerify: cfg.InsecureSkipVerify,
		Proxy: cfg.Proxy, DialContext: cfg.DialContext,
	}
}

// AtNode returns cfg pointed at a node of a DERP map: with its URL, its
// certificate, and a DialContext that connects to the node's addresses, over IPv4
// and IPv6 at once, by way of that of cfg. A node whose HostName is missing or
// cannot be used goes by its address, if the certificate is not verified for that
// name. What the map says wrongly shows in Dial.
func (cfg Config) AtNode(n *derpmap.Node) Config { return cfg.atNode(n, nil) }

// atNode is AtNode with a preference for IPv6, which is asked for at each dial;
// nil: none.
func (cfg Config) atNode(n *derpmap.Node, preferIPv6 func() bool) Config {
	at, err := cfg.reach().AtNode(n, preferIPv6)
	cfg.URL, cfg.CertName, cfg.InsecureSkipVerify = at.URL, at.CertName, at.InsecureSkipVerify
	cfg.DialContext, cfg.problem = at.DialContext, err
	return cfg
}

func printable(text string) bool {
	for _, c := range []byte(text) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}
