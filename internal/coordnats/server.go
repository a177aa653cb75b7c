package coordnats

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	maxPayload  = 5 << 20 // the largest value, and what goes around it
	mostMemory  = 64 << 20
	mostStored  = 64 << 30
	startWithin = 2 * time.Minute // the loading of what is on the disk
	startLook   = 200 * time.Millisecond
)

var hurry = sync.OnceFunc(hurryElections)

// embedded is a server within this process.
type embedded struct {
	dir    *directory
	server *server.Server
	token  string                  // of this process; nobody else has it
	broken atomic.Pointer[refusal] // nil: the server writes
	at     atomic.Pointer[string]  // where the server listens; empty: it is being started

	foreign atomic.Pointer[time.Time] // when a coordinator with another secret was met last; nil: never
}

// Check lets in who has the token, as our own connections do: others of this machine
// can reach the listener, too.
func (e *embedded) Check(c server.ClientAuthentication) bool {
	return subtle.ConstantTimeCompare([]byte(c.GetOpts().Token), []byte(e.token)) == 1
}

func startEmbedded(ctx context.Context, c Config) (*embedded, error) {
	dir, err := openDirectory(c.Dir, kindOf(c))
	if err != nil {
		return nil, err
	}
	e := &embedded{dir: dir, token: rand.Text()}
	if err := e.start(ctx, c); err != nil {
		dir.close()
		return nil, err
	}
	return e, nil
}

func kindOf(c Config) string {
	if c.Cluster == nil {
		return "one coordinator alone"
	}
	return "coordinator " + c.Cluster.Name + " of a cluster"
}

func (e *embedded) start(ctx context.Context, c Config) error {
	options, err := e.options(c)
	if err == nil && c.Cluster != nil {
		err = mayListen(ctx, c.Cluster.Listen)
	}
	if err != nil {
		return err
	}
	hurry()
	e.server, err = server.NewServer(options)
	if err != nil {
		return fmt.Errorf("the engine in %s: %w", e.dir.path, err)
	}
	e.server.SetLoggerV2(logger{c.Logger, e.noteRefused, e.noteForeign}, false, false, false)
	e.server.Start()
	if !e.awaitStart(ctx) || !e.server.JetStreamEnabled() {
		e.server.Shutdown()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("the engine in %s did not start: its log says why; is the disk full, or the address of the cluster in use?", e.dir.path)
	}
	e.reach(e.server.Addr().String())
	return nil
}

// mayListen finds out whether an address is free: the engine would only log that it is not,
// and go on without.
func mayListen(ctx context.Context, address string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAddress, err)
	}
	return l.Close()
}

// awaitStart reports whether the server takes connections, within the time that it may
// need.
func (e *embedded) awaitStart(ctx context.Context) bool {
	for end := time.Now().Add(startWithin); ctx.Err() == nil && time.Now().Before(end); {
		if e.server.ReadyForConnections(startLook) {
			return true
		}
	}
	return false
}

// options are those of a server with a listener on the loopback interface, at any
// port: a server without one does not start its routes.
func (e *embedded) options(c Config) (*server.Options, error) {
	o := &server.Options{
		ServerName: "coordinator", Host: "127.0.0.1", Port: -1, NoSigs: true,
		CustomClientAuthentication: e,
		JetStream:                  true, StoreDir: e.dir.data(), SyncAlways: !c.unsynced, DisableJetStreamBanner: true,
		JetStreamMaxMemory: mostMemory, JetStreamMaxStore: mostStored,
		MaxPayload: maxPayload, MaxPending: 256 << 20, PingInterval: 20 * time.Second, MaxPingsOut: 3,
	}
	if c.Cluster == nil {
		return o, nil
	}
	o.ServerName = c.Cluster.Name
	// What it leads is handed over first; it has no clients that would have to go.
	o.LameDuckDuration, o.LameDuckGracePeriod = 2*time.Second, 100*time.Millisecond
	return o, e.routes(o, c.Cluster)
}

func (e *embedded) routes(o *server.Options, c *Cluster) error {
	a, err := newAuthority(c.Name, c.Secrets)
	if err != nil {
		return err
	}
	host, portText, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return fmt.Errorf("the port of %q: %w", c.Listen, err)
	}
	o.Cluster = server.ClusterOpts{
		Name: "detour", Host: host, Port: port, NoAdvertise: true, TLSConfig: a.config(), TLSTimeout: 5,
		PingInterval: 5 * time.Second, MaxPingsOut: 2, ConnectRetries: -1,
	}
	for _, name := range c.names() {
		if name != c.Name {
			o.Routes = append(o.Routes, &url.URL{Scheme: "tls", Host: c.Routes[name]})
		}
	}
	return nil
}

// dial is how to connect to the server.
func (e *embedded) dial() (string, []nats.Option) {
	return e.server.ClientURL(), []nats.Option{nats.Token(e.token), nats.IgnoreDiscoveredServers(), nats.SetCustomDialer(e)}
}

// Dial connects to the server that runs now, whose port may be another than that of the
// one before: nobody else who gets that port is taken for it.
func (e *embedded) Dial(network, _ string) (net.Conn, error) {
	if at := *e.at.Load(); at != "" {
		return net.DialTimeout(network, at, 3*time.Second)
	}
	return nil, errors.New("the engine is being started")
}

func (e *embedded) reach(at string) { e.at.Store(&at) }

// missing are the coordinators of a cluster that are not connected.
func (e *embedded) missing(c *Cluster) (names []string) {
	routes, err := e.server.Routez(nil)
	if err != nil {
		return nil
	}
	for _, name := range c.names() {
		there := slices.ContainsFunc(routes.Routes, func(r *server.RouteInfo) bool { return r.RemoteName == name })
		if !there && name != c.Name {
			names = append(names, name)
		}
	}
	return names
}

// foreignFor is how long a meeting with another secret counts: routes are tried more often.
const foreignFor = 30 * time.Second

func (e *embedded) noteForeign() {
	now := time.Now()
	e.foreign.Store(&now)
}

// meetsForeign reports whether there is a coordinator that has another secret.
func (e *embedded) meetsForeign() bool {
	at := e.foreign.Load()
	return at != nil && time.Since(*at) < foreignFor
}

// stop hands what it leads to the others, and ends.
func (e *embedded) stop(alone bool) error {
	if alone {
		e.server.Shutdown()
	} else {
		e.server.LameDuckShutdown()
	}
	e.server.WaitForShutdown()
	defer e.dir.close()
	return e.dir.leave()
}
