package control

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/rate"
)

const (
	// mostConns bounds the connections of a server, and mostOfOne those of one address
	// over the network; those above are closed at once.
	mostConns = 64
	mostOfOne = 8

	// farewell is how long answers under way may take at the end.
	farewell = 2 * time.Second

	// lastWords is how long net/http may take to write those that have been given.
	lastWords = 500 * time.Millisecond
)

// Over the network, connections are so many a second: of one address, and of all.
// Each may be a TLS handshake, which costs the relay more than a packet.
var (
	arrivalsOfOne = rate.Limit{PerSecond: 2, Burst: 20}
	arrivals      = rate.Limit{PerSecond: 20, Burst: 100}
)

// A Server answers at one listener.
type Server struct {
	listener net.Listener
	secure   *tls.Config // nil: without TLS
	server   http.Server
	under    underway
	leaving  chan struct{} // closed when it ends
	leave    func()
}

// NewServer has a handler answer at a listener, which Close closes; secure is nil where
// there is no network in between. What net/http has to say goes to the log.
func NewServer(listener net.Listener, secure *tls.Config, handler http.Handler, said *log.Logger) *Server {
	s := &Server{listener: listener, secure: secure, leaving: make(chan struct{})}
	s.leave = sync.OnceFunc(func() { close(s.leaving) })
	s.server = http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.under.begin()
			defer s.under.end()
			handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), leavingKey{}, s.leaving)))
		}),
		ReadHeaderTimeout: 5 * time.Second, // of a TLS handshake, too
		ReadTimeout:       patience,        // renewed while bytes come
		WriteTimeout:      patience,        // renewed while bytes go, and before an answer
		IdleTimeout:       patience,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          said,
	}
	return s
}

// Serve answers until Close, which makes it return nil.
func (s *Server) Serve() error {
	var listener net.Listener = newBounded(s.listener)
	if s.secure != nil {
		listener = tls.NewListener(listener, s.secure)
	}
	err := s.server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Addr is where it answers.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close ends serving. An answer under way is still given, if that does not take long:
// an order may be what ends the relay. It may be called more than once, and before
// Serve.
func (s *Server) Close() error {
	err := s.listener.Close()
	s.leave()
	s.under.wait(farewell)
	written, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	s.server.Shutdown(written)                                       // an answer that is given may not be written yet
	if other := s.server.Close(); !errors.Is(other, net.ErrClosed) { // which it is by now
		err = errors.Join(err, other)
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// underway counts the answers that are.
type underway struct {
	mu   sync.Mutex
	n    int           // guarded by mu
	idle chan struct{} // guarded by mu: closed when n is 0; nil: nobody waits
}

func (u *underway) begin() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n++
}

func (u *underway) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n--; u.n == 0 && u.idle != nil {
		close(u.idle)
		u.idle = nil
	}
}

// wait returns when there is none, or after so long. One at a time may wait.
func (u *underway) wait(most time.Duration) {
	u.mu.Lock()
	if u.n == 0 {
		u.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	u.idle = idle
	u.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(most):
	}
}

// bounded is a listener with so many connections at most.
type bounded struct {
	net.Listener
	began time.Time

	mu      sync.Mutex
	all     int                // guarded by mu
	of      map[netip.Addr]int // guarded by mu: those of each address; of unix sockets, none
	came    rate.Bucket        // guarded by mu
	sources sources            // guarded by mu
}

func newBounded(l net.Listener) *bounded {
	return &bounded{Listener: l, began: time.Now(), of: make(map[netip.Addr]int), sources: newSources(arrivalsOfOne)}
}

// Accept closes connections above the bound, so that those before them go on.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if from := addrOf(conn.RemoteAddr()); b.take(from) {
			return &boundedConn{Conn: conn, gone: sync.OnceFunc(func() { b.give(from) })}, nil
		}
		conn.Close()
	}
}

func (b *bounded) take(from netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all >= mostConns || from.IsValid() && !b.arriveLocked(from) {
		return false
	}
	b.all++
	return true
}

func (b *bounded) arriveLocked(from netip.Addr) bool {
	now := time.Since(b.began)
	if b.of[from] >= mostOfOne || !b.sources.take(from, now) || !b.came.Take(arrivals, 1, now) {
		return false
	}
	b.of[from]++
	return true
}

func (b *bounded) give(from netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.of[from]--; b.of[from] <= 0 {
		delete(b.of, from)
	}
}

type boundedConn struct {
	net.Conn
	gone func()
}

func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.gone()
	return err
}
