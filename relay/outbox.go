package relay

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/framequeue"
	"github.com/detour-relay/detour/internal/ledger"
	"github.com/detour-relay/detour/key"
)

// An outbox is the bounded queue of frames towards one conn or link (framequeue.Box).
// push copies a packet in as a finished frame; take hands out whole segments of frames,
// ready to be written.
type outbox struct {
	// Set once.
	owner  *transport
	conn   *conn        // the conn it leads to; nil: it leads to a sibling
	page   *ledger.Page // set at registration
	writer func()       // egress.go: writeWhenReady, made once

	mu       sync.Mutex
	box      framequeue.Box // guarded by mu, as all below. A wide one has ForwardPacket frames
	pushedAt int64          // when a packet was pushed last
	account  ledger.Account // of what was taken, and given up
	writing  bool           // somebody holds the write side
	closed   bool           // nothing is queued any more
	broken   bool           // the stream has failed; the write side is nobody's any more
	due      bool           // it is flushed when a round ends

	swept     atomic.Bool  // the sweeper looks after this outbox
	inHand    atomic.Int64 // packets taken and not yet counted as sent or dropped
	blockedAt atomic.Int64 // when the stream last took nothing; 0: it is not full
}

// What a frame adds to its packet.
const (
	recvOverhead    = derp.HeaderLen + derp.KeyLen
	forwardOverhead = derp.HeaderLen + 2*derp.KeyLen
)

// age is how many nanoseconds a packet may wait; 0: no limit.
func (o *outbox) age() int64 { return max(0, int64(o.owner.server.cfg.OutboxAge)) }

func (o *outbox) overhead() int {
	if o.box.Wide {
		return forwardOverhead
	}
	return recvOverhead
}

// push queues packet from src to dst as a RecvPacket frame, or a ForwardPacket
// frame for a sibling, dropping what has waited longest to make room. It returns
// how many packets were dropped for that. The packet is the caller's again on
// return.
func (o *outbox) push(src, dst *key.Public, packet []byte, k ledger.Kind, now int64) (dropped int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	overhead := o.overhead()
	size := overhead + len(packet)
	if o.closed {
		o.dropLocked(ledger.GoneDisconnected, k, 1, size)
		return 0
	}
	o.dropStaleLocked(k, now)
	if size > int(o.box.Limit) {
		o.dropLocked(ledger.QueueTail, k, 1, size)
		return 1
	}
	source := binary.LittleEndian.Uint64(src[:]) // keys are as good as random
	frame := o.box.Append(int(k), source, size, now, o.age()/4)
	if frame == nil {
		if frame, dropped = o.box.Room(o.stock(), int(k), source, size, now, o.age()/4, o); frame == nil {
			o.dropLocked(ledger.QueueMemory, k, 1, size)
			return dropped
		}
	}
	o.pushedAt = now
	t := derp.FrameRecvPacket
	if o.box.Wide {
		t = derp.FrameForwardPacket
		copy(frame[recvOverhead:], dst[:])
	}
	derp.PutHeader(frame, t, size-derp.HeaderLen)
	copy(frame[derp.HeaderLen:], src[:])
	copy(frame[overhead:], packet)
	return dropped
}

// stock is the memory of all outboxes.
func (o *outbox) stock() *framequeue.Stock { return &o.owner.server.outboxes }

// pushControl queues a control frame. It reports false when the conn takes none
// any more: it is closed, or more than limit bytes of them wait already.
func (o *outbox) pushControl(frame []byte, limit int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.closed && o.box.AddControl(o.stock(), frame, limit)
}

// pushPong queues a Pong, unless one is waiting already.
func (o *outbox) pushPong(data [derp.PingLen]byte) bool {
	var room [derp.HeaderLen + derp.PingLen]byte
	frame := derp.AppendPong(room[:0], data)
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.closed && o.box.AddPong(o.stock(), frame)
}

// A batch is what one round of egress writes.
type batch = framequeue.Batch

// takeLocked moves the next frames into b, dropping packets that waited too
// long. It reports false if there is nothing to write.
func (o *outbox) takeLocked(b *batch, now int64) bool {
	o.dropStaleLocked(ledger.Disco, now)
	o.dropStaleLocked(ledger.Data, now)
	o.box.Take(o.stock(), b, o.overhead(), now)
	o.account.Send(b)
	return b.N > 0
}

// dropStaleLocked drops the segments whose newest packet is too old. As a segment
// spans a quarter of the age at most, no packet waits longer than 5/4 of it. What
// waits for no stream that is full waits for our own turn, and is sent.
func (o *outbox) dropStaleLocked(k ledger.Kind, now int64) {
	if o.age() == 0 || o.blockedAt.Load() == 0 {
		return
	}
	o.box.DropOlder(o.stock(), int(k), now-o.age(), o)
}

// dropStale drops what is too old of what waits.
func (o *outbox) dropStale(now int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropStaleLocked(ledger.Disco, now)
	o.dropStaleLocked(ledger.Data, now)
}

// close drops every queued packet; nothing is queued afterwards. It reports whether
// nobody is writing what was taken before. Otherwise the writer finds the outbox closed
// when it has done so.
func (o *outbox) close() (idle bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.box.Clear(o.stock(), o)
	o.closed = true
	return !o.writing || o.broken
}

// state returns how many packets wait, here or in the hands of the writer, and what has
// become of the others.
func (o *outbox) state() (queued int, account ledger.Account) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.box.Packets() + int(o.inHand.Load()), o.account
}

func (o *outbox) queued() int {
	queued, _ := o.state()
	return queued
}
