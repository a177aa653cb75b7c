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
	selfUse   = 45 * time.Second

	mostServers = 2  // that are asked, of each family
	mostLocal   = 12 // addresses of this machine that peers are told
)

// self is where we may be reached.
type self struct {
	own    []netip.AddrPort
	nobody []netip.Addr // broadcast addresses of our networks, which lead to all in them
	asked  time.Duration
	asking bool
}

func newSelf() self { return self{asked: never} }

// askSelf finds out where we are, unless that is known or being found out.
func (c *Conn) askSelf() {
	if c.self.asking || c.now()-c.self.asked < selfFresh {
		return
	}
	c.self.asking, c.self.asked = true, c.now()
	c.running.Go(func() {
		own, nobody := c.local()
		for _, a := range c.outside() {
			if !slices.Contains(own, a) {
				own = append(own, a)
			}
		}
		select {
		case c.found <- self{own: own, nobody: nobody}:
		case <-c.ctx.Done():
		}
	})
}

// learnt takes what was found out.
func (c *Conn) learnt(now self) {
	lost := slices.ContainsFunc(c.self.own, func(a netip.AddrPort) bool {
		return a.Port() == c.port && !slices.Contains(now.own, a)
	})
	c.self.own, c.self.nobody, c.self.asking = now.own, now.nobody, false
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

// outside are those that responders of STUN see us under.
func (c *Conn) outside() (seen []netip.AddrPort) {
	if c.cfg.Servers == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second)
	defer cancel()
	asked := map[bool]int{}
	answers := make(chan netip.AddrPort)
	n := 0
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
		if a := <-answers; a.IsValid() && !slices.Contains(seen, a) {
			seen = append(seen, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
		}
	}
	slices.SortFunc(seen, netip.AddrPort.Compare) // so that the same is the same
	return seen
}
