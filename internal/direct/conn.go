package direct

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/detour-relay/detour/internal/disco"
	"github.com/detour-relay/detour/internal/paths"
	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/internal/stun"
	"github.com/detour-relay/detour/key"
)

// UsualSize is the UDP payload of a full packet of a tunnel whose MTU is 1280.
const UsualSize = 1280 + 32

// Config says who we are. Disco, Relay and Deliver are required.
type Config struct {
	Node  key.Public  // told in pings; zero: it is not told
	Disco key.Private // of this run
	Port  uint16      // of both families; 0: any

	FullSize int // UDP payload of a full packet; 0: UsualSize

	// Relay sends a message of ours over the relay. It must not wait or keep the packet.
	Relay func(peer key.Public, packet []byte)

	// Deliver takes packets that came by UDP; what is in the slices is its own only
	// until it returns. It is called by two goroutines.
	Deliver func(from []key.Public, packets [][]byte)

	// Servers returns responders of STUN, the best first. It may take its time, up to
	// when ctx is done. nil: none.
	Servers func(ctx context.Context) []netip.AddrPort

	// Refuse reports addresses that no path leads to: those within the tunnel. nil: none.
	Refuse func(netip.Addr) bool

	// Loopback has peers be on this machine, for tests: our address is that of loopback.
	Loopback bool
}

// A Conn has the sockets.
type Conn struct {
	cfg   Config
	bind  conn.Bind
	port  uint16
	start time.Time // of all times here
	stun  *stun.Prober

	fromServers chan datagram // answers of STUN
	events      chan event    // disco
	pokes       chan *Path    // paths that are used
	commands    chan func()
	found       chan self // where we are

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.RWMutex
	paths  map[key.Public]*Path
	owners map[netip.AddrPort]owner

	counts counts

	// Of the engine.
	ring    *disco.Ring
	message disco.Message
	packet  []byte
	byDisco map[key.Public]*Path
	budget  paths.Budget
	opened  rate.Bucket
	self    self
}

// counts are packets.
type counts struct{ sent, unsent, received, unowned, disco, flooded atomic.Uint64 }

// Stats counts packets by UDP.
type Stats struct {
	Sent     uint64 // that a route led here
	Unsent   uint64 // that the system did not take; they went over the relay
	Received uint64 // from owners
	Unowned  uint64 // from addresses without an owner: dropped
	Disco    uint64 // messages that came
	Flooded  uint64 // of these, dropped unread: too many
}

// Open opens the sockets.
func Open(cfg Config) (*Conn, error) {
	if cfg.Disco.IsZero() || cfg.Relay == nil || cfg.Deliver == nil {
		return nil, errors.New("direct: Disco, Relay and Deliver are required")
	}
	cfg.FullSize = cmp.Or(cfg.FullSize, UsualSize)
	c := &Conn{
		cfg: cfg, bind: conn.NewStdNetBind(), start: time.Now(), fromServers: make(chan datagram, 16),
		events: make(chan event, 256), pokes: make(chan *Path, 256), commands: make(chan func()), found: make(chan self),
		paths: make(map[key.Public]*Path), owners: make(map[netip.AddrPort]owner),
		ring: disco.NewRing(cfg.Disco), byDisco: make(map[key.Public]*Path), self: newSelf(),
	}
	receivers, port, err := c.bind.Open(cfg.Port)
	if err != nil {
		return nil, fmt.Errorf("direct: opening UDP port %d: %w", cfg.Port, err)
	}
	c.port = port
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.stun = stun.NewProber(&socket{c})
	for _, receive := range receivers {
		c.running.Go(func() { c.receive(receive) })
	}
	c.running.Go(c.run)
	return c, nil
}

// Close closes the sockets. When it returns no goroutine is left, and Deliver and Relay
// are not called any more.
func (c *Conn) Close() error {
	c.cancel()
	err := c.bind.Close()
	c.stun.Close()
	c.running.Wait()
	return err
}

// Port is that of the sockets.
func (c *Conn) Port() uint16 { return c.port }

// Disco is our disco key, which peers have to be told.
func (c *Conn) Disco() key.Public { return c.cfg.Disco.Public() }

// SetMark marks the sockets, where the system has marks.
func (c *Conn) SetMark(mark uint32) error { return c.bind.SetMark(mark) }

// Stats returns the counts up to now.
func (c *Conn) Stats() Stats {
	n := &c.counts
	return Stats{n.sent.Load(), n.unsent.Load(), n.received.Load(), n.unowned.Load(), n.disco.Load(), n.flooded.Load()}
}

// NetworkChanged has all paths be found anew: an interface or a route is another.
func (c *Conn) NetworkChanged() {
	c.do(func() {
		c.self.asked = never
		c.askSelf()
		c.moved()
	})
}

// SetPeer says by which disco key a peer is known; another one than before is that of
// another run. Zero: the peer has none, so there is no direct path.
func (c *Conn) SetPeer(peer, discoKey key.Public) {
	c.do(func() { c.setPeer(peer, discoKey) })
}

// RemovePeer forgets a peer. Its Path leads over the relay from then on.
func (c *Conn) RemovePeer(peer key.Public) {
	c.do(func() {
		c.setPeer(peer, key.Public{})
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.paths, peer)
	})
}

// Path returns the path to a peer, which SetPeer brings to life. It stays the same until
// RemovePeer.
func (c *Conn) Path(peer key.Public) *Path {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.paths[peer]
	if p == nil {
		p = newPath(c, peer)
		c.paths[peer] = p
	}
	return p
}

// Relayed is for packets of a peer that came over the relay, and reports whether it was
// disco, which is nobody else's business.
func (c *Conn) Relayed(peer key.Public, packet []byte) bool {
	if _, ok := disco.Sender(packet); !ok {
		return false
	}
	c.hand(event{peer: peer, packet: packet})
	return true
}

// do has the engine do something, and waits for it.
func (c *Conn) do(what func()) {
	done := make(chan struct{})
	select {
	case c.commands <- func() { what(); close(done) }:
		<-done
	case <-c.ctx.Done():
	}
}

func (c *Conn) now() time.Duration { return time.Since(c.start) }
