package relay

import (
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/keytable"
	"github.com/detour-relay/detour/internal/ledger"
	"github.com/detour-relay/detour/key"
)

// A sibling forwards packets for peers of ours. They go to a conn of this relay
// or to nobody: a packet crosses the mesh once.

func legalForward(size int) bool {
	return size >= 2*derp.KeyLen && size <= 2*derp.KeyLen+derp.MaxPacket
}

// forwardFrame is frame for a ForwardPacket frame of a sibling.
func (c *conn) forwardFrame(size int, p []byte, b *burst) (n int, err error) {
	if !legalForward(size) {
		return 0, badFrame(derp.FrameForwardPacket, size)
	}
	end := derp.HeaderLen + size
	if len(p) < end {
		return 0, nil
	}
	src := (*key.Public)(p[derp.HeaderLen:])
	dst := (*key.Public)(p[derp.HeaderLen+derp.KeyLen:])
	c.deliver(src, dst, p[derp.HeaderLen+2*derp.KeyLen:end], b)
	return end, nil
}

// deliver relays a packet that a sibling forwarded.
func (c *conn) deliver(src, dst *key.Public, packet []byte, b *burst) {
	k := kindOf(packet)
	b.packets[k]++
	b.bytes[k] += len(packet)
	b.forwarded++
	out := c.rememberedFlow(src, dst)
	if out == nil {
		if out = c.lookupFlow(src, dst, packet, b); out == nil {
			return
		}
	}
	b.overflow += out.push(src, dst, packet, k, b.now)
	b.touch(out, 0)
}

// rememberedFlow returns the outbox for dst if packets from src to it have come
// before and nothing has changed since; otherwise nil.
func (c *conn) rememberedFlow(src, dst *key.Public) *outbox {
	if c.flows == nil {
		return nil
	}
	f := c.flows.At(src, dst)
	if f.To == nil || f.To.generation.Load() != f.Turn || !keytable.Same(&f.To.key, dst) || !keytable.Same(&f.From.key, src) {
		return nil
	}
	if out := f.To.active.Load(); out != nil && out.conn != nil {
		return out
	}
	return nil
}

// lookupFlow finds the conn for dst and remembers the pair. Without a conn the
// packet is dropped.
func (c *conn) lookupFlow(src, dst *key.Public, packet []byte, b *burst) *outbox {
	routes := &c.server.routes
	to := routes.lookup(dst)
	if to == nil {
		c.unknownDest(*dst, packet, ledger.UnknownDestOnFwd, b)
		return nil
	}
	generation := to.generation.Load()
	out := to.active.Load()
	if out != nil && out.conn == nil {
		// What siblings forwarded before they heard that the peer has moved is for the
		// conn that it still has here.
		if out = to.local.Load(); out == nil {
			c.unknownDest(*dst, packet, ledger.UnknownDestOnFwd, b)
			return nil
		}
	}
	if out == nil {
		c.out.page.Lost(ledger.DupClient, kindOf(packet), 1, len(packet))
		return nil
	}
	from := routes.lookup(src)
	if from == nil { // it comes before the sibling's word that its sender is there
		routes.audience.Await(out.conn, routes.senderHash(src))
		from = routes.lookup(src)
	}
	if from != nil {
		out.conn.noteSender(from)
		if c.flows == nil {
			c.flows = new(keytable.Pairs[route])
		}
		*c.flows.At(src, dst) = keytable.Pair[route]{From: from, To: to, Turn: generation}
	}
	return out
}
