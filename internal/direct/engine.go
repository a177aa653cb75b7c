package direct

import (
	"bytes"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/detour-relay/detour/internal/disco"
	"github.com/detour-relay/detour/internal/paths"
	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/key"
)

// openLimit bounds what opening boxes may cost: some hundredths of a core.
var openLimit = rate.Limit{PerSecond: 5000, Burst: 1000}

// An event is a packet of disco. It came by UDP, or from a peer over the relay.
type event struct {
	from   netip.AddrPort
	peer   key.Public
	packet []byte
}

// hand gives a packet to the engine, which has a copy; if that is too busy, it is lost.
func (c *Conn) hand(e event) {
	c.counts.disco.Add(1)
	if len(c.events) == cap(c.events) {
		c.counts.flooded.Add(1)
		return
	}
	e.packet = bytes.Clone(e.packet)
	select {
	case c.events <- e:
	default:
		c.counts.flooded.Add(1)
	}
}

// run is the engine.
func (c *Conn) run() {
	c.askSelf()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case what := <-c.commands:
			what()
		case p := <-c.pokes:
			if p.peer != nil {
				p.peer.Sent(c.now(), p.heardAt())
				c.settle(p)
			}
		case e := <-c.events:
			c.take(e)
		case now := <-c.found:
			c.learnt(now)
		case <-timer.C:
			c.wake()
		}
		timer.Reset(c.next())
	}
}

// wake is for when the time has come for some of the paths.
func (c *Conn) wake() {
	now := c.now()
	for _, p := range c.byDisco {
		if p.peer.Next() <= now {
			p.peer.Wake(now)
			c.settle(p)
		}
	}
	if now >= c.self.asked+c.self.every() && c.isUsed(now) {
		c.askSelf()
	}
}

// next is how long nothing has to be done.
func (c *Conn) next() time.Duration {
	now, at := c.now(), paths.Never
	for _, p := range c.byDisco {
		at = min(at, p.peer.Next())
	}
	if !c.self.asking && c.isUsed(now) {
		at = min(at, c.self.asked+c.self.every())
	}
	return max(at-now, time.Millisecond)
}

// isUsed reports whether we send to anybody.
func (c *Conn) isUsed(now time.Duration) bool {
	for _, p := range c.byDisco {
		if now-time.Duration(p.noted.Load()) < selfUse {
			return true
		}
	}
	return false
}

func (c *Conn) setPeer(node, discoKey key.Public) {
	p := c.Path(node)
	if p.disco == discoKey {
		return
	}
	if p.peer != nil {
		c.end(p)
	}
	if other := c.byDisco[discoKey]; other != nil {
		c.end(other) // two that say to be the same: the last one counts
	}
	if discoKey.IsZero() || discoKey == c.ring.Public() {
		return
	}
	c.ring.Add(discoKey)
	c.byDisco[discoKey] = p
	p.disco = discoKey
	cfg := paths.Config{FullSize: c.cfg.FullSize, Refuse: c.isRefused, Budget: &c.budget}
	if c.cfg.Loopback {
		cfg.Allow = netip.Addr.IsLoopback
	}
	p.peer = paths.New(cfg)
	p.peer.Own(c.now(), c.self.own)
	if c.now()-time.Duration(p.noted.Load()) < 2*noteEvery {
		p.peer.Sent(c.now(), p.heardAt()) // it is used already
	}
	c.settle(p)
}

// end has a path lead over the relay.
func (c *Conn) end(p *Path) {
	c.ring.Remove(p.disco)
	delete(c.byDisco, p.disco)
	p.disco, p.peer = key.Public{}, nil
	p.route.Store(overRelay)
	p.status.Store(&Status{State: paths.Relay})
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range p.owned {
		delete(c.owners, a)
	}
	p.owned = nil
}

// take reads a packet of disco.
func (c *Conn) take(e event) {
	if !c.opened.Take(openLimit, 1, c.now()) {
		c.counts.flooded.Add(1)
		return
	}
	m := &c.message
	from, err := c.ring.Open(e.packet, m)
	p := c.byDisco[from]
	if err != nil || p == nil {
		return
	}
	switch byUDP := e.from.IsValid(); {
	case !byUDP && (e.peer != p.node || m.Type != disco.CallMeMaybe), byUDP && m.Type == disco.CallMeMaybe:
		return // nobody sends that
	case m.Type == disco.CallMeMaybe:
		p.peer.Call(c.now(), m.Endpoints)
	case m.Type == disco.Ping:
		if (m.Node.IsZero() || m.Node == p.node) && p.peer.Ping(c.now(), e.from, m.TxID) {
			c.own(p, e.from, false)
		}
	case m.Type == disco.Pong:
		if p.peer.Pong(c.now(), e.from, m.TxID) {
			c.own(p, e.from, true)
		}
	}
	c.settle(p)
}

// settle does what the state machine of a path wants, and publishes its route.
func (c *Conn) settle(p *Path) {
	for _, a := range p.peer.Take() {
		c.act(p, a)
	}
	want, have := p.peer.Route(), p.route.Load()
	if want.Relay != have.relay || want.Direct.IsValid() != (have.to != nil) || have.to != nil && want.Direct != have.to.AddrPort {
		r := &route{relay: want.Relay}
		if want.Direct.IsValid() {
			r.to = &conn.StdNetEndpoint{AddrPort: want.Direct}
		}
		p.route.Store(r)
	}
	if s := (Status{p.peer.State(), want.Direct, p.peer.RoundTrip()}); s != *p.status.Load() {
		p.status.Store(&s)
	}
}

func (c *Conn) act(p *Path, a paths.Action) {
	m := &c.message
	*m = disco.Message{TxID: a.TxID, Endpoints: m.Endpoints[:0]}
	switch a.Kind {
	case paths.SendPing:
		m.Type, m.Node, m.Padding = disco.Ping, c.cfg.Node, a.Padding
		if m.Node.IsZero() && m.Padding > 0 {
			m.Padding += key.Len // so that it has its size
		}
	case paths.SendPong:
		m.Type, m.Source = disco.Pong, a.Addr
	case paths.SendCall:
		m.Type, m.Endpoints = disco.CallMeMaybe, append(m.Endpoints, c.self.own...)
	case paths.AskSelf:
		c.askSelf()
		return
	}
	c.packet = c.ring.AppendSealed(c.packet[:0], p.disco, m)
	if a.Kind == paths.SendCall {
		c.cfg.Relay(p.node, c.packet)
		return
	}
	// What the system does not take is as good as lost.
	_ = c.bind.Send([][]byte{c.packet}, &conn.StdNetEndpoint{AddrPort: a.Addr})
}
