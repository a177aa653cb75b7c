// Package edge takes connections from the network to the relay: it accepts them,
// completes TLS and HTTP, answers what is not DERP itself, and hands the bytes
// behind an upgrade to relay.Serve.
//
// # Words
//
//   - pending, stranger: accepted, and the peer has not proven a key yet. What is
//     slow is pending for long.
//   - upgrade: the moment a connection stops being HTTP (spec 1.4, 1.5, 1.7).
//   - evicted, expired: a pending connection closed because there were too many
//     of them, or because its time was over.
//
// # A connection's way
//
// accept.go takes it and counts it as pending; handshake.go completes TLS, unless it asks
// for a name of somebody else (foreign.go, internal/sni), to whom it is passed; then
// net/http reads the request and routes.go answers it; upgrade.go or
// websocket.go takes it away from net/http. From there on it belongs to a fresh
// goroutine in relay.Serve, and nothing of net/http stays reachable from it.
//
// # Limits
//
// Pending connections are bounded in number, time and bytes. When there are too
// many, the oldest gives way: whoever stalls loses, and a handshake that moves is
// never behind one that does not. Of those that send more than a login needs, the
// one that would exceed what all may have goes. Peers are bounded by MaxConns, so
// that descriptors remain for the relay itself. Only HTTP/1.1 is spoken, because DERP cannot be
// upgraded to from HTTP/2.
package edge

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/histogram"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/internal/sni"
	"github.com/detour-relay/detour/relay"
)

// A Server is one listener of a relay.
type Server struct {
	// Set once.
	config   Config // as it began
	reply    []byte // the whole answer to a classic upgrade
	born     time.Time
	listener net.Listener
	http     *http.Server

	now     atomic.Pointer[Config] // whose fields that Prepare names count, instead of those of config
	pending pending
	foreign foreign
	passer  sni.Passer
	count   counters
	turns   turns

	arriving sync.Mutex
	arrivals *arrivals // guarded by arriving; nil until the first comes

	refusalLines [proxyRefusals]rate.Minutely

	ready    chan net.Conn // from the accept side to net/http
	stopped  chan struct{} // closed when accepting ends
	stop     sync.Once
	draining atomic.Bool // requests to upgrade are sent away

	turnedAway atomic.Int64    // when there was last no room, since born; 0: never
	closed     chan struct{}   // closed when Shutdown begins
	life       context.Context // done then, too
	end        context.CancelFunc
	shut       sync.Once
	answers    sync.WaitGroup // net/http's loop

	mu      sync.Mutex
	closing bool           // guarded by mu: nothing may enter any more
	inside  sync.WaitGroup // handshakes, requests and served conns; Add only under mu
}

// Listen checks the configuration and binds the address. Connections wait until
// Serve is called.
func Listen(config Config) (*Server, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	listener, err := listen(config)
	if err != nil {
		return nil, err
	}
	return newServer(config, listener), nil
}

// newServer expects a complete configuration.
func newServer(config Config, listener net.Listener) *Server {
	s := &Server{
		config:   config,
		reply:    switchingReply("DERP", config.Relay.PublicKey()),
		listener: listener,
		ready:    make(chan net.Conn),
		turns:    newTurns(runtime.GOMAXPROCS(0)),
		stopped:  make(chan struct{}),
		closed:   make(chan struct{}),
		born:     time.Now(),
	}
	s.count.handshakes.Init(histogram.OneTwoFive(int64(time.Millisecond), int64(10*time.Second))...)
	s.life, s.end = context.WithCancel(context.Background())
	s.useNow(config)
	s.foreign.bound(config.MaxForeign)
	s.passer.Log, s.passer.IsSelf = config.Logger, s.isSelf
	s.pending.init(config.MaxPending, config.PendingBytes, config.PendingTimeout, &s.count)
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.route),
		ReadHeaderTimeout: config.HandshakeTimeout,
		ReadTimeout:       config.PendingTimeout,
		WriteTimeout:      config.PendingTimeout,
		IdleTimeout:       config.PendingTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(config.Logger.Handler(), slog.LevelWarn),
		Protocols:         new(http.Protocols),
		ConnContext:       s.connContext,
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				s.pending.remove(c)
			}
		},
	}
	s.http.Protocols.SetHTTP1(true)
	return s
}

// Addr returns the address the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Listener returns the listener, to hand it to a process that takes over.
func (s *Server) Listener() net.Listener { return s.listener }

// Prepare checks another configuration, and returns what has it take effect for who
// comes from then on: TLS, SNI, Home, Proxies, the limits of connections, KeepAlive and UserTimeout.
// All else stays as it was. Nobody who has logged in notices.
func (s *Server) Prepare(next Config) (apply func(), err error) {
	c := s.config
	c.TLS, c.Home, c.AcceptPerSecond, c.AcceptBurst = next.TLS, next.Home, next.AcceptPerSecond, next.AcceptBurst
	c.MaxConns, c.MaxPending, c.KeepAlive, c.UserTimeout, c.Proxies = next.MaxConns, next.MaxPending, next.KeepAlive, next.UserTimeout, next.Proxies
	c.SNI, c.MaxForeign, c.Discreet = next.SNI, next.MaxForeign, next.Discreet
	if c, err = c.complete(); err != nil {
		return nil, err
	}
	return func() {
		if before := s.now.Load().home; !before.Is(c.Home) {
			defer before.Close()
		}
		s.useNow(c)
		s.pending.bound(c.MaxPending)
		s.foreign.bound(c.MaxForeign)
		setUserTimeout(s.listener, c) // an error means that it is closed already
	}, nil
}

// Serve accepts connections until ctx is done or Drain or Shutdown is called;
// then it stops listening and returns nil. What was accepted before goes on: it
// completes its handshake, is answered and upgraded, until Shutdown.
func (s *Server) Serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.stopAccepting)()
	if !s.enter() {
		return nil // Shutdown came first
	}
	defer s.inside.Done()
	s.answers.Go(func() { s.http.Serve(readyListener{s}) }) // until Shutdown, which is the only error there is
	s.acceptAll()
	return nil
}

// Drain stops accepting and waits until what was accepted before has been
// upgraded or is gone, or until ctx is done. Requests to upgrade that come later
// are answered with 503.
func (s *Server) Drain(ctx context.Context) {
	s.stopAccepting()
	s.http.SetKeepAlivesEnabled(false) // closes those that wait for another request
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for calm := 0; calm < drainCalm && ctx.Err() == nil; calm++ {
		if s.pending.len() > 0 {
			calm = 0
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	s.draining.Store(true)
}

const (
	// drainLook is how often Drain looks whether everything is upgraded.
	drainLook = 5 * time.Millisecond

	// drainCalm is how often that must be so in a row: what was upgraded last is
	// then with the relay, which takes nobody new in when it drains.
	drainCalm = 10
)

func (s *Server) stopAccepting() {
	s.stop.Do(func() {
		close(s.stopped)
		s.listener.Close()
	})
}

// Shutdown stops accepting, closes what is pending and waits until everything
// that came through this server is gone, or until ctx is done. Connections the
// relay has taken over end with the relay's own Shutdown, which comes first.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopAccepting()
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.shut.Do(func() { close(s.closed) })
	s.end()
	s.pending.close()
	defer s.now.Load().home.Close()

	gone := make(chan struct{})
	go func() {
		s.inside.Wait()
		s.answers.Wait()
		close(gone)
	}()
	err := s.http.Shutdown(ctx)
	select {
	case <-gone:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("edge: shutdown: %w", err)
	}
	return nil
}

// enter is called before work on a connection begins. It reports false once
// Shutdown has begun; after true, the work ends with inside.Done.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.inside.Add(1)
	return true
}

// start gives a connection that was upgraded to the relay. conn is what net/http
// had of it, and stays pending until its peer has proven a key.
func (s *Server) start(stream relay.Stream, conn net.Conn, from relay.Origin) {
	if !s.pending.upgraded(conn, stream) || !s.enter() {
		s.pending.remove(conn)
		stream.Close() // evicted or expired in this very moment, or too late
		return
	}
	from.LoggedIn = func() {
		s.pending.remove(conn)
		release(conn)
	}
	s.count.serving.Add(1)
	// A goroutine with a fresh stack, or nothing where loops read, is all that a connection
	// keeps of this package. The relay logs how the conn ended; there is nothing to add here.
	// A context that can end would cost every idle conn its registration.
	go s.config.Relay.Start(context.Background(), stream, from, func(err error) {
		if isFlood(err) {
			s.count.floods.Add(1)
		}
		s.pending.remove(conn) // if it never logged in
		s.count.serving.Add(-1)
		s.inside.Done()
	})
}

// release takes the meter off a connection.
func release(c net.Conn) {
	switch c := c.(type) {
	case *tls.Conn:
		if w, ok := c.NetConn().(*netio.Wire); ok {
			w.Release()
		}
	case *netio.Metered:
		c.Release()
	}
}

// readyListener is the listener net/http sees: its connections have been
// accepted, counted and secured already.
type readyListener struct{ *Server }

func (l readyListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l readyListener) Close() error { return nil }

// handOver gives a connection to net/http.
func (s *Server) handOver(c net.Conn) {
	select {
	case s.ready <- c:
	case <-s.closed:
		if s.pending.remove(c) {
			closeNow(transport(c))
		}
	}
}

// transport returns the TCP connection under c.
func transport(c net.Conn) net.Conn {
	for {
		switch outer := c.(type) {
		case *tls.Conn:
			c = outer.NetConn()
		case *netio.Wire:
			c = outer.Conn
		case *netio.Metered:
			c = outer.Conn
		case *sni.Hello:
			c = outer.Conn
		default:
			return c
		}
	}
}
