package relay

import (
	"cmp"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/keytable"
	"github.com/detour-relay/detour/internal/ledger"
	"github.com/detour-relay/detour/internal/limit"
	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/key"
)

// Ingress takes a burst apart.
//
//  1. ingest walks over the frames of the burst, as far as they are complete.
//  2. A packet's destination is looked up: in the few destinations that the
//     conn remembers, else in the table (routes.go).
//  3. The packet is pushed into the outbox found (outbox.go), or dropped.
//  4. At the end, counters are added up once and every outbox that was touched
//     is flushed once (egress.go).

// ingest relays the burst p. It is the handler of the conn's stream.
func (c *conn) ingest(p []byte) (used int, err error) { return c.ingestIn(nil, p) }

// ingestIn is ingest in a round of bursts of several conns; nil: in none.
func (c *conn) ingestIn(round sharedStream, p []byte) (used int, err error) {
	if len(p) == 0 {
		c.noteBegun(0, c.skip, false)
		return 0, nil
	}
	by := c.readBy()
	b := burst{now: c.server.now(), page: c.server.count.book.Page(by), round: round, limited: c.server.limits.On() && !c.sibling}
	if c.duplicate.Load() && c.bringsHeader(p) {
		c.server.routes.activate(c)
	}
	skipped := c.skip
	for more := true; more && err == nil; {
		var n int
		n, err = c.frame(p[used:], &b)
		used += n
		more = n > 0
	}
	c.begun.Store(uint32(frameLen(p[used:])))
	c.noteBegun(used, skipped, len(p) > used)
	c.count(&b, by)
	b.flush()
	paused := c.pace(&b)
	if b.limited && err == nil {
		err = c.charge(&b, used)
	}
	if idle := c.chargeIdle(&b, used); err == nil {
		err = cmp.Or(idle, paused)
	}
	if err == nil && c.pause == 0 && used > 0 && c.most > 0 {
		c.readAtOnce(2 * int64(c.most)) // who does not rest is read more at once each time
	}
	return used, err
}

// count adds up what the burst brought.
func (c *conn) count(b *burst, by uint64) {
	if b.others > 0 {
		c.server.count.unknownFrames.Add(uint64(b.unknown))
		c.server.count.pings.Add(uint64(b.pings))
	}
	packets, bytes := b.packets[ledger.Disco]+b.packets[ledger.Data], b.bytes[ledger.Disco]+b.bytes[ledger.Data]
	if packets == 0 {
		return
	}
	b.page.Received(&b.packets, &b.bytes, b.forwarded)
	c.packets.Store(c.packets.Load() + uint64(packets))
	c.bytes.Store(c.bytes.Load() + uint64(bytes))
	if b.packets[ledger.Data] > 0 {
		c.usedAt.Store(b.now)
	}
	c.group.Received(by, packets, bytes)
}

// readBy is a number of who reads the conn now. Sums are kept in parts by it, so that two
// loops do not wait for each other's caches.
func (c *conn) readBy() uint64 {
	if !c.shared {
		return c.id
	}
	return uint64(c.stream.(interface{ Reader() int }).Reader())
}

// An overflowing conn rests no longer than this, and is read so little in between.
const longestPause, overflowRead = 4 * time.Millisecond, 16 << 10

// pace slows down a conn most of whose packets overflow an outbox: reading them
// only to drop them costs what others could use, and TCP tells the peer to send
// less. Siblings are not slowed down: they carry the packets of many peers.
func (c *conn) pace(b *burst) error {
	if 2*b.overflow <= b.packets[ledger.Disco]+b.packets[ledger.Data] || c.sibling {
		c.pause = 0
		return nil
	}
	c.pause = min(max(2*c.pause, int32(longestPause/4)), int32(longestPause))
	c.readAtOnce(overflowRead)
	if c.shared {
		return errRest
	}
	// With the chunk in hand: whoever overflows others is not read (decision 4).
	time.Sleep(time.Duration(c.pause))
	return nil
}

// bringsHeader reports whether p completes the header of a frame. Only that makes
// a duplicate active, not the rest of a frame that began before.
func (c *conn) bringsHeader(p []byte) bool {
	return len(p) >= int(c.skip)+int(c.begun.Load())+derp.HeaderLen
}

// recordBegun is how much the stream holds of a record that has not come whole.
func (c *conn) recordBegun() int {
	if s, ok := c.stream.(interface{ Begun() int }); ok {
		return s.Begun()
	}
	return 0
}

// noteBegun notes whether the peer is in the middle of a frame or record. The burst has
// used so many bytes, up to skipped of them of a frame that began before.
func (c *conn) noteBegun(used int, skipped uint32, incomplete bool) {
	incomplete = incomplete || c.skip > 0 || c.recordBegun() > 0
	c.server.sweeper.begun.Note(c, incomplete, used > 0 && used >= int(skipped))
}

// frameLen returns the length of the frame at the front of p; 0 if its header is
// not complete.
func frameLen(p []byte) int {
	if len(p) < derp.HeaderLen {
		return 0
	}
	_, size := derp.ParseHeader(p)
	return derp.HeaderLen + size
}

// A burst is what one readiness of a conn's stream brings, and has done.
type burst struct {
	now            int64
	page           *ledger.Page
	round          sharedStream
	packets, bytes [ledger.Kinds]int
	forwarded      int // of packets, those that a sibling forwarded
	overflow       int // packets that were dropped because an outbox was full
	others         int // frames that bring no packet, or one of no bytes
	unknown, pings int // of these

	touched [16]*outbox
	n       int

	limited bool       // limits.go: what it brings is charged
	owed    limit.Rest // for what was sent to others
	owes    *limit.Key // of these, whom it is owed for
	pushed  [16]int    // bytes of frames for those touched
}

// touch notes that out is to be flushed at the end of the burst, and that bytes of
// frames have been pushed into it.
func (b *burst) touch(out *outbox, bytes int) {
	for i := b.n - 1; i >= 0; i-- {
		if b.touched[i] == out {
			b.pushed[i] += bytes
			return
		}
	}
	if b.n == len(b.touched) {
		b.flush()
	}
	b.touched[b.n], b.pushed[b.n] = out, bytes
	b.n++
}

func (b *burst) flush() {
	for i, out := range b.touched[:b.n] {
		out.flush(b.round, b.page)
		if b.limited {
			b.chargeOut(out, b.pushed[i])
		}
	}
	b.n = 0
}

// frame handles the frame at the front of p and returns its length; 0 if it is
// not complete. Lengths are checked before the payload has arrived.
func (c *conn) frame(p []byte, b *burst) (n int, err error) {
	if c.skip > 0 {
		n = min(int(c.skip), len(p))
		c.skip -= uint32(n)
		return n, nil
	}
	if len(p) < derp.HeaderLen {
		return 0, nil
	}
	t, size := derp.ParseHeader(p)
	if t != derp.FrameSendPacket {
		return c.otherFrame(t, size, p, b)
	}
	if size < derp.KeyLen || size > derp.KeyLen+derp.MaxPacket {
		return 0, badFrame(t, size)
	}
	end := derp.HeaderLen + size
	if len(p) < end {
		return 0, nil
	}
	dst := (*key.Public)(p[derp.HeaderLen:])
	c.sendPacket(dst, p[derp.HeaderLen+derp.KeyLen:end], b)
	return end, nil
}

// sendPacket relays a packet of this conn's peer.
func (c *conn) sendPacket(dst *key.Public, packet []byte, b *burst) {
	k := kindOf(packet)
	b.packets[k]++
	b.bytes[k] += len(packet)
	if len(packet) == 0 {
		b.others++
	}
	out := c.remembered(dst)
	if out == nil {
		if out = c.lookup(dst, packet, b); out == nil {
			return
		}
	}
	b.overflow += out.push(&c.key, dst, packet, k, b.now)
	b.touch(out, recvOverhead+len(packet))
}

func kindOf(packet []byte) ledger.Kind {
	if derp.IsDisco(packet) {
		return ledger.Disco
	}
	return ledger.Data
}

// destinations is how many destinations a conn remembers: at first, and with
// traffic to many peers.
const (
	fewDestinations  = 4
	manyDestinations = 256
)

// remembered returns the outbox for dst if the conn has sent to it before and
// nothing has changed since; otherwise nil. What is remembered keeps nothing of a conn
// alive that has ended.
func (c *conn) remembered(dst *key.Public) *outbox {
	d := c.dests.At(dst)
	if d.Of.generation.Load() != d.Turn || !keytable.Same(&d.Of.key, dst) {
		return nil
	}
	return d.Of.active.Load()
}

// lookup finds the outbox for dst in the table and remembers it. Without one the
// packet is dropped.
func (c *conn) lookup(dst *key.Public, packet []byte, b *burst) *outbox {
	rt := c.server.routes.lookup(dst)
	if rt == nil {
		c.unknownDest(*dst, packet, ledger.UnknownDest, b)
		return nil
	}
	generation := rt.generation.Load()
	out := rt.active.Load()
	if out == nil {
		c.out.page.Lost(ledger.DupClient, kindOf(packet), 1, len(packet))
		return nil
	}
	if out.conn != nil {
		out.conn.noteSender(c.route)
	}
	c.dests = c.server.routes.table.Remember(c.dests, keytable.Use[route]{Of: rt, Turn: generation}, manyDestinations,
		func(rt *route) bool { return rt.active.Load() != nil })
	return out
}

// unknownDest drops a packet for a key that nobody has and, if it is a disco
// packet, says so within limits (spec 5.6).
func (c *conn) unknownDest(dst key.Public, packet []byte, reason ledger.Reason, b *burst) {
	k := kindOf(packet)
	c.out.page.Lost(reason, k, 1, len(packet))
	if k != ledger.Disco || !c.mayAnswer(b.now) {
		return
	}
	if c.out.pushControl(derp.AppendPeerGone(nil, dst, derp.ReasonNotHere), c.controlLimit()) {
		c.server.count.peerGone[derp.ReasonNotHere].Add(1)
		b.touch(&c.out, 0)
	}
}

// mayAnswer keeps answers that a conn can provoke as it likes to three at once and
// one a second (spec 5.6).
func (c *conn) mayAnswer(now int64) bool {
	return c.answers.Take(rate.Limit{PerSecond: 1, Burst: 3}, 1, time.Duration(now))
}
