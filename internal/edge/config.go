package edge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/internal/decoy"
	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/sni"
	"github.com/detour-relay/detour/relay"
)

// Defaults that a program may want to show.
const (
	DefaultMaxPending  = 3072
	DefaultMaxForeign  = 4096
	DefaultKeepAlive   = 10 * time.Minute
	DefaultUserTimeout = 15 * time.Second
)

const (
	defaultHandshakeTimeout = 10 * time.Second
	defaultPendingTimeout   = 30 * time.Second

	// defaultPendingBytes is little beside what pending connections cost anyway.
	defaultPendingBytes = 2 << 20

	// maxHeader bounds the head of a request. A DERP client sends some 200 bytes.
	maxHeader = 16 << 10
)

// Config is what a [Server] is made from. Zero fields mean the default.
type Config struct {
	// Relay takes the connections over once they are upgraded. Required.
	Relay *relay.Server

	// Listen is the address to bind, "host:port". An empty host means every
	// address of the machine, port 0 any free port.
	Listen string

	// Listener is taken instead of binding Listen, if it is set: a process that
	// takes over from another inherits it. The Server closes it.
	Listener net.Listener

	// TLS says how to secure connections; nil means that they are plain.
	TLS *tls.Config

	// Loops read the connections that are upgraded; nil: each is read by a goroutine.
	Loops *netio.Loops

	// Proxies are believed when they say whom they bring; the zero value is nobody.
	Proxies Proxies

	// SNI says whose the connections are that ask for a name; nil: all are the relay's. It
	// needs TLS.
	SNI *sni.Rules

	// MaxForeign bounds the connections that do not come for the relay: those that SNI passes
	// on, and those whose request a site of Home answers (default: [DefaultMaxForeign], and what a quarter of the descriptors is enough for at
	// most). Those above are closed.
	MaxForeign int

	// Home is what paths without a meaning answer: empty for a small page,
	// "blank" for an empty one, a URL to redirect to, the whole path of a directory with
	// files, or "proxy:" and the URL of a server.
	Home string

	// Discreet has Home answer all that no DERP client asks for, also at the relay's own
	// paths.
	Discreet bool

	// NoDERP has requests to upgrade answered with 404, and all else as ever.
	NoDERP bool

	// Bootstrap returns what /bootstrap-dns answers to who asks for a name, or for none.
	// It must be quick. Nil means that there are no names.
	Bootstrap func(name string, from netip.Addr) []byte

	// Healthy says whether the relay wants peers; while it does not, the probe
	// paths answer 503. It must be quick. Nil means always.
	Healthy func() bool

	// AcceptPerSecond limits new connections; those above are closed at once. 0
	// means no limit. AcceptBurst may come at once (default: one second's worth).
	// One address, or one /64 of IPv6, may use a quarter of both.
	AcceptPerSecond float64
	AcceptBurst     int

	// MaxConns bounds the connections that the relay has (default: as many as the
	// process may have descriptors, less a quarter for those that are pending and
	// some for the relay itself). Those above are closed at once.
	MaxConns int

	// MaxPending bounds the connections whose peers have not logged in (default
	// 3072, and a quarter of the descriptors at most). One holds 10 to 30 KB.
	MaxPending int

	// PendingBytes bounds what all of them may have sent, besides the 8 KiB that
	// each may send in any case (default 2 MiB).
	PendingBytes int

	// HandshakeTimeout bounds the TLS handshake and, again, the head of a request
	// (default 10 s). PendingTimeout bounds the time from accepting a connection
	// to its login, whatever it does (default 30 s).
	HandshakeTimeout time.Duration
	PendingTimeout   time.Duration

	// KeepAlive is the idle time after which TCP asks whether the peer is still
	// there (default 10 min). UserTimeout is how long sent bytes may stay
	// unacknowledged (default 15 s, Linux only). Negative means off.
	KeepAlive   time.Duration
	UserTimeout time.Duration

	// Logger gets life-cycle lines, and connections at debug level; nil discards.
	Logger *slog.Logger

	reading *tls.Config // TLS where SNI has its say first; nil without
	home    *decoy.Home // of Home
}

// complete checks the configuration and fills in the defaults.
func (c Config) complete() (Config, error) {
	if c.Relay == nil {
		return c, errors.New("edge: Config.Relay is missing")
	}
	if c.Listener == nil {
		if err := hostname.CheckListen(c.Listen); err != nil {
			return c, fmt.Errorf("edge: Config.Listen %w", err)
		}
	}
	if err := decoy.Check(c.Home); err != nil {
		return c, fmt.Errorf("edge: Config.Home %w", err)
	}
	if !(c.AcceptPerSecond >= 0) || math.IsInf(c.AcceptPerSecond, 0) {
		return c, fmt.Errorf("edge: Config.AcceptPerSecond %v: want a number of connections, or 0 for no limit", c.AcceptPerSecond)
	}
	if c.AcceptBurst < 0 || c.MaxPending < 0 || c.PendingBytes < 0 || c.MaxConns < 0 || c.MaxForeign < 0 || c.HandshakeTimeout < 0 || c.PendingTimeout < 0 {
		return c, errors.New("edge: Config.AcceptBurst, MaxConns, MaxPending, MaxForeign, PendingBytes, HandshakeTimeout and PendingTimeout cannot be negative")
	}
	if c.AcceptBurst == 0 {
		c.AcceptBurst = int(max(1, math.Ceil(min(c.AcceptPerSecond, math.MaxInt32))))
	}
	orDefault(&c.MaxPending, DefaultMaxPending)
	orDefault(&c.MaxForeign, DefaultMaxForeign)
	orDefault(&c.PendingBytes, defaultPendingBytes)
	c.divide(descriptors())
	orDefault(&c.HandshakeTimeout, defaultHandshakeTimeout)
	orDefault(&c.PendingTimeout, defaultPendingTimeout)
	orDefault(&c.KeepAlive, DefaultKeepAlive)
	orDefault(&c.UserTimeout, DefaultUserTimeout)
	if c.Healthy == nil {
		c.Healthy = func() bool { return true }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
