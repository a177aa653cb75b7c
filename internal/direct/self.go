package direct

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	selfFresh = 20 * time.Second // for so long what is known of us is good enough
	selfEvery = 25 * time.Second // while paths are used

	blindEvery = 100 * time.Millisecond // when there is nobody to ask, and then ever more rarely

	selfUse = 45 * time.Second

	mostServers = 2  // that are asked, of each family
	mostLocal   = 12 // addresses of this machine that peers are told
)

// self is where we may be reached.
type self struct {
	own    []netip.AddrPort
	nobody []netip.Addr // broadcast addresses of our networks, which lead to all in them
	more   bool         // is to come: who was asked has not answered yet
	blind  int          // so often there was nobody to ask: the map is not there yet, say

	asked  time.Duration
	asking bool
}

func newSelf() self { return self{asked: never} }

// fresh is for how long it is good enough, and every how often we look while paths are
// used.
func (s *self) fresh() time.Duration {
	return min(s.every(), selfFresh)
}

func (s *self) every() time.Duration {
	if s.blind == 0 {
		return selfEvery
	}
	return min(blindEvery<<min(s.blind, 10), selfEvery)
}

// askSelf finds out where we are, unless that is known or being found out. What is found
// counts at once, whoever else does not answer.
func (c *Conn) askSelf() {
	if c.self.asking || c.now()-c.self.asked < c.self.fresh() {
		return
	}
	c.self.asking, c.self.asked = true, c.now()
	blind := c.self.blind
	c.running.Go(func() {
		local, nobody := c.local()
		found := self{own: local, nobody: nobody, more: true}
		c.tell(found)
		var seen []netip.AddrPort
		asked := c.outside(func(a netip.AddrPort) {
			if slices.Contains(found.own, a) {
				return
			}
			seen = append(seen, a)
			slices.SortFunc(seen, netip.AddrPort.Compare) // so that the same is the same
			found.own = slices.Concat(local, seen)
			c.tell(found)
		})
		if found.more = false; asked == 0 && c.cfg.Servers != nil {
			found.blind = blind + 1
		}
		c.tell(found)
	})
}

// tell hands the engine what was found out.
func (c *Conn) tell(found self) {
	select {
	case c.found <- found:
	case <-c.ctx.Done():
	}
}

// learnt takes what was found out. As long as more is to come, what was known before
// counts, too.
func (c *Conn) learnt(now self) {
	for _, a := range c.self.own {
		if now.more && !slices.Contains(now.own, a) {
			now.own = append(slices.Clip(now.own), a)
		}
	}
	lost := slices.ContainsFunc(c.self.own, func(a netip.AddrPort) bool {
		return a.Port() == c.port && !slices.Contains(now.own, a)
	})
	c.self.own, c.self.nobody, c.self.asking = now.own, now.nobody, now.more
	if !now.more {
		c.self.blind = now.blind
	}
	for _, p := range c.byDisco {
		p.peer.Own(c.now(), now.own)
		c.settle(p)
	}
	if lost {
		c.moved()
	}
}

// moved has all paths show that they are still there.
func (c *Conn) moved() {
	for _, p := range c.byDisco {
		p.peer.Moved(c.now())
		c.settle(p)
	}
}

// local are the addresses of this machine that peers could reach, and those in its
// networks where nobody is.
func (c *Conn) local() (own []netip.AddrPort, nobody []netip.Addr) {
	all, _ := net.InterfaceAddrs() // without them, what STUN finds will have to do
	for _, a := range all {
		prefix, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, _ := netip.AddrFromSlice(prefix.IP)
		ip = ip.Unmap()
		bits, _ := prefix.Mask.Size()
		nobody = append(nobody, broadcast(netip.PrefixFrom(ip, bits))...)
		if ip.IsGlobalUnicast() && (c.cfg.Refuse == nil || !c.cfg.Refuse(ip)) && len(own) < mostLocal {
			own = append(own, netip.AddrPortFrom(ip, c.port))
		}
	}
	if c.cfg.Loopback {
		own = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), c.port)}
	}
	return own, nobody
}

// broadcast are the addresses of a network of IPv4 that are those of all in it: the last
// one, and the first one of old.
func broadcast(p netip.Prefix) []netip.Addr {
	if !p.Addr().Is4() || p.Bits() < 1 || p.Bits() > 30 {
		return nil
	}
	first := p.Masked().Addr()
	last := binary.BigEndian.Uint32(first.AsSlice()) | (1<<(32-p.Bits()) - 1)
	return []netip.Addr{first, netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, last)))}
}

// isRefused reports addresses that nothing is sent to, whoever names them. It is called
// by the engine.
func (c *Conn) isRefused(a netip.Addr) bool {
	return slices.Contains(c.self.nobody, a) || c.cfg.Refuse != nil && c.cfg.Refuse(a)
}

// outside has found called with those that responders of STUN see us under, and returns
// how many were asked.
func (c *Conn) outside(found func(netip.AddrPort)) (n int) {
	if c.cfg.Servers == nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second)
	defer cancel()
	asked := map[bool]int{}
	answers := make(chan netip.AddrPort)
	for _, server := range c.cfg.Servers(ctx) {
		if is4 := server.Addr().Unmap().Is4(); asked[is4] < mostServers {
			asked[is4]++
			n++
			c.running.Go(func() {
				r, _ := c.stun.Probe(ctx, server, 300*time.Millisecond, 600*time.Millisecond, time.Second)
				answers <- r.Public
			})
		}
	}
	for range n {
		if a := <-answers; a.IsValid() {
			found(netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
		}
	}
	return n
}
