// Package relay is the engine of a DERP server: it logs peers in and passes
// their packets on by public key.
//
// # Words
//
//   - packet: an opaque payload; frame: the unit on the wire that carries it.
//   - peer: a key that talks to us; conn: one connection of a peer.
//   - route: where packets for a key go now.
//   - sibling: another relay of our region; link: our connection to it.
//   - outbox: the bounded queue towards one conn or link.
//   - burst: what one readiness of a socket yields.
//   - drop: a packet given up, always with a reason (drop.go).
//
// # A packet's way
//
// ingress.go takes a burst apart into frames and asks routes.go where the
// packet goes; outbox.go queues it; at the end of the burst egress.go writes
// every touched outbox once. The sender's reader does all of it, so no
// goroutine is woken on the way and reading is paced by writing.
//
// # Siblings
//
// Relays of a region are linked each to every other. link.go logs in to a
// sibling and hears of its peers, forwarders.go leads their routes to the link's
// outbox, forward.go delivers what a sibling forwards to us. A packet crosses
// one link at most. drain.go sends peers to the siblings before a restart.
//
// # Limits
//
// A conn's outbox is bounded by bytes and by age; what waited longest is
// dropped first. A conn that takes no bytes for Config.WriteTimeout is closed.
// The engine imports no network code: it is handed a [Stream] per conn.
package relay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/chores"
	"github.com/detour-relay/detour/internal/framequeue"
	"github.com/detour-relay/detour/internal/keyring"
	"github.com/detour-relay/detour/internal/limit"
	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/internal/tally"
	"github.com/detour-relay/detour/internal/wheel"
	"github.com/detour-relay/detour/key"
)

// A Stream is one peer's byte stream in the shape the engine needs. Package
// internal/netio implements it for plain TCP, TLS and any other net.Conn.
type Stream interface {
	// ReadBursts waits for input without holding a buffer and hands each burst
	// to handle, which says how many bytes it used; the rest stands at the front
	// of the next burst. It returns handle's error as it is, io.EOF at the end
	// of the stream, or the transport's error. After an error of handle it can
	// be called again and begins with the rest.
	ReadBursts(handle func(burst []byte) (used int, err error)) error

	// Write stages p, which is the caller's again on return.
	Write(p []byte) (int, error)

	// Flush sends what is staged. Without wait it sends what the transport takes
	// at once, and done is false if something is left. With wait it returns when
	// at least something was sent.
	Flush(wait bool) (done bool, err error)

	// Close makes every pending and later call fail. It never waits, and may be
	// called from any goroutine, also from within handle.
	Close() error

	// Reader() int may be there besides. If it is not 0, the goroutine that calls handle
	// reads other streams, too, those with the same number: handle must not wait for
	// anything. The number may change from one burst to the next. StartBursts(handle, ended
	// func(error)) may be there then, which is ReadBursts that does not wait: ended is called
	// once, with what ReadBursts would return, and must not wait either. AfterRound(f), for
	// handle, has f.RoundEnded(Reader()) called when its reader is through with the others.
	//
	// LimitBursts(n int) may be there as well. From the next burst on, at most n bytes
	// are read at once; 0: as many as come. It is called by who reads. Begun() int is for
	// any goroutine: how many bytes are held of what has not come whole, and no handler can
	// see. Where it turns from or to 0 without a burst, handle gets an empty one, for which
	// it must not stop the reading to begin again at once.
}

// An Origin says where a conn comes from.
type Origin struct {
	Addr      netip.AddrPort // the peer's address; zero if unknown
	IdealNode string         // the node that the peer said it would rather be on; empty: this one

	// Takeover: the stream comes from the process that takes over from this one, or the
	// other way round. It has our own key, and the rights of a sibling without a mesh
	// key.
	Takeover bool

	// LoggedIn is called once when the peer has proven its key: it is not one of
	// those any more that cost us and may be nobody. It must not block. May be nil.
	LoggedIn func()
}

// ErrShutdown is returned by Serve once Shutdown or Drain has begun, and by Link
// once Shutdown has.
var ErrShutdown = errors.New("relay: shut down")

// A Server is one relay.
type Server struct {
	// Set once.
	cfg    Config
	public key.Public
	born   time.Time

	routes      routes
	clock       *wheel.Clock
	wheel       keepAliveWheel
	sweeper     sweeper
	count       counters
	outboxes    framequeue.Stock // the memory that they hold
	groups      tally.Groups
	limits      limit.Keys
	asking      atomic.Int64 // calls of Config.Admit under way
	largeLogins atomic.Int64 // bytes of unfinished ones; see package greeting
	meshKeys    keyring.Ring
	seen        retry.Broadcast // a sibling has logged in
	leaving     chores.Chores   // ends of conns without a goroutine

	writeTimeout atomic.Int64 // Config.WriteTimeout

	wrongKeyLines rate.Minutely
	limiting      sync.Mutex // held while limits change, before all other locks

	// Guarded by mu.
	mu       sync.Mutex
	closing  bool
	draining bool                          // nobody new comes in
	logins   map[Stream]context.CancelFunc // of conns and links that are not logged in yet
	running  sync.WaitGroup                // Serve and Link calls, and the logins and writers they started
}

// New returns a relay, or an error that names the field that is wrong.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("relay: Config.%w", err)
	}
	s := &Server{
		cfg:    cfg,
		public: cfg.Key.Public(),
		born:   time.Now(),
		logins: make(map[Stream]context.CancelFunc),
	}
	s.meshKeys.Replace(cfg.MeshKeys) // which complete has checked
	s.writeTimeout.Store(int64(cfg.WriteTimeout))
	s.count.init()
	s.SetOutboxMemory(cfg.OutboxMemory)
	s.routes.init(&s.count)
	s.clock = wheel.NewClock(tick, s.everyTick)
	s.wheel.init(s)
	s.sweeper.init(s)
	return s, nil
}

// SetOutboxMemory changes Config.OutboxMemory. 0 is no limit here, too.
func (s *Server) SetOutboxMemory(bytes int64) { s.outboxes.Bound(max(0, bytes)) }

// OutboxPeak returns about how much memory outboxes held at most since the last call.
func (s *Server) OutboxPeak() int64 { return s.outboxes.Peak() }

// PublicKey returns the key that peers know this relay by.
func (s *Server) PublicKey() key.Public { return s.public }

// Serve logs the peer behind stream in and relays its packets until the stream
// ends, ctx is done or Shutdown is called. It owns stream and has closed it when
// it returns. Bytes staged on stream before the call go out in front of the
// greeting. The error says why the conn ended; io.EOF is a peer that left.
//
// This frame stays on the stack of every conn, and with it a page of memory or
// not: logging in and ending have frames of their own.
func (s *Server) Serve(ctx context.Context, stream Stream, from Origin) error {
	var stop func() bool
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, func() { stream.Close() })
	}
	c, err := s.logIn(ctx, stream, &from)
	if err == nil {
		err = c.serve()
		s.ended(c.addr, c.key, err)
	}
	stream.Close()
	if stop != nil {
		stop()
	}
	return err
}

// logIn returns the conn of a peer that has logged in.
func (s *Server) logIn(ctx context.Context, stream Stream, from *Origin) (*conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	if !s.enter(stream, cancel, from.Takeover) {
		cancel()
		return nil, ErrShutdown
	}
	c, err := s.accept(ctx, stream, from)
	if err != nil {
		s.ended(from.Addr, key.Public{}, err)
	}
	return c, err
}

// Shutdown closes every conn and link and waits until all of them are gone, or
// until ctx is done. Serve and Link calls that come later return [ErrShutdown].
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for stream, cancel := range s.logins {
		cancel()
		stream.Close()
	}
	s.mu.Unlock()
	for c := range s.routes.all {
		c.close(ErrShutdown)
	}
	s.routes.eachLink(func(l *link) { l.close(ErrShutdown) })

	done := make(chan struct{})
	go func() {
		s.clock.Stop() // first: it may start writers, which running counts
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("relay: shutdown: %w", ctx.Err())
	}
}

// enter counts a Serve or Link call in, unless the relay is closing, or drains
// and this is for a peer.
func (s *Server) enter(stream Stream, cancel context.CancelFunc, sibling bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.draining && !sibling {
		return false
	}
	s.running.Add(1)
	s.logins[stream] = cancel
	s.clock.Start()
	return true
}

// entered ends the login phase of stream.
func (s *Server) entered(stream Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins[stream]()
	delete(s.logins, stream)
}

// SiblingSeen returns a channel that is closed when the next conn with a mesh key
// logs in: a sibling that was out of reach may be back, and worth a dial.
func (s *Server) SiblingSeen() <-chan struct{} { return s.seen.Wait() }

// now is the time since the relay was made, in nanoseconds. It is never 0, which
// means "not" in places.
func (s *Server) now() int64 { return 1 + int64(time.Since(s.born)) }

// timeAt is what the clock showed at a time of now.
func (s *Server) timeAt(now int64) time.Time { return s.born.Add(time.Duration(now - 1)) }

// ended counts and logs the end of a Serve call that has entered.
func (s *Server) ended(addr netip.AddrPort, peer key.Public, err error) {
	reason := reasonOf(err)
	s.count.closed[reason].Add(1)
	s.cfg.Logger.Debug("conn ended", "peer", peer.Short(), "addr", addr, "reason", reason.String(), "err", err)
	s.running.Done()
}
