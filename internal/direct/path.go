package direct

import (
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/detour-relay/detour/internal/paths"
	"github.com/detour-relay/detour/key"
)

const (
	never     = time.Duration(-1 << 62)
	noteEvery = time.Second

	mostOwned   = 8                // addresses of a peer
	ownedFirmly = 30 * time.Second // after an answer, an address is not another one's because that says so
)

// A Path is the way to a peer. Send may be called by any goroutine.
type Path struct {
	conn *Conn
	node key.Public

	route  atomic.Pointer[route]
	status atomic.Pointer[Status]
	noted  atomic.Int64 // when its use was last noted
	heard  atomic.Int64 // when the last packet came by UDP

	// Of the engine.
	disco key.Public
	peer  *paths.Peer // nil: no direct path
	owned []netip.AddrPort
}

// A route does not change once it is made.
type route struct {
	relay bool
	to    *conn.StdNetEndpoint // nil: nowhere
}

// Status is what a path is like.
type Status struct {
	State     paths.State
	Addr      netip.AddrPort // not valid: none
	RoundTrip time.Duration  // 0: not known
}

var overRelay = &route{relay: true}

func newPath(c *Conn, node key.Public) *Path {
	p := &Path{conn: c, node: node}
	p.noted.Store(int64(never))
	p.heard.Store(int64(never))
	p.route.Store(overRelay)
	p.status.Store(&Status{State: paths.Relay})
	return p
}

// Status is that of now.
func (p *Path) Status() Status { return *p.status.Load() }

// Send sends packets by UDP, if the route leads there, and reports whether they have to
// be sent over the relay, be it only to be sure. It does not wait, or keep them.
func (p *Path) Send(packets [][]byte) (relay bool) {
	r := p.route.Load()
	p.note(r)
	if r.to == nil {
		return true
	}
	if err := p.conn.bind.Send(packets, r.to); err != nil && !isSent(err) {
		p.conn.counts.unsent.Add(uint64(len(packets)))
		return true
	}
	p.conn.counts.sent.Add(uint64(len(packets)))
	return r.relay
}

// isSent reports whether the packets were sent all the same: one by one, since the system
// cannot take them all at once, which is not tried again.
func isSent(err error) bool {
	var gso conn.ErrUDPGSODisabled
	return errors.As(err, &gso) && gso.RetryErr == nil
}

// heardAt is when the last packet came by UDP.
func (p *Path) heardAt() time.Duration { return time.Duration(p.heard.Load()) }

// note tells the engine that the path is used, once a second, and more often while
// nothing comes back by it.
func (p *Path) note(r *route) {
	now, every := p.conn.now(), noteEvery
	if !r.relay && now-p.heardAt() > paths.QuietTime {
		every = paths.QuietTime
	}
	last := p.noted.Load()
	if now-time.Duration(last) < every || !p.noted.CompareAndSwap(last, int64(now)) {
		return
	}
	select {
	case p.conn.pokes <- p:
	default:
		p.noted.Store(last) // the engine is busy; with the next packet
	}
}

// An owner is the peer that is at an address.
type owner struct {
	path   *Path
	proven time.Duration // when it last answered there
}

// own makes a path the owner of an address: a ping came from there, or an answer. Whoever
// can send packets with another's address could make that his own by a ping; an answer
// takes who is there.
func (c *Conn) own(p *Path, a netip.AddrPort, answered bool) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.owners[a]
	switch {
	case ok && o.path == p:
		if answered {
			c.owners[a] = owner{p, now}
		}
		return
	case ok && !answered && now-o.proven < ownedFirmly:
		return
	case ok:
		o.path.owned = slices.DeleteFunc(o.path.owned, func(b netip.AddrPort) bool { return a == b })
	}
	o = owner{p, never}
	if answered {
		o.proven = now
	}
	if len(p.owned) == mostOwned {
		c.disownLocked(p)
	}
	c.owners[a] = o
	p.owned = append(p.owned, a)
}

// disownLocked has a path give up the address that it has had for longest without an
// answer from there.
func (c *Conn) disownLocked(p *Path) {
	oldest := 0
	for i, a := range p.owned {
		if c.owners[a].proven < c.owners[p.owned[oldest]].proven {
			oldest = i
		}
	}
	delete(c.owners, p.owned[oldest])
	p.owned = slices.Delete(p.owned, oldest, oldest+1)
}
