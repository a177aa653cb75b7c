package relay

import (
	"sync"
	"sync/atomic"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/framequeue"
	"github.com/detour-relay/detour/internal/ledger"
	"github.com/detour-relay/detour/key"
)

// An outbox is the bounded queue of frames towards one conn or link, in the order
//
//	control frames · disco packets · other packets
//
// where a batch takes at most one segment of disco packets before the others
// have their turn. push copies a packet in as a finished frame; take hands out
// whole segments of frames, ready to be written.
type outbox struct {
	// Set once.
	owner   *transport
	conn    *conn        // the conn it leads to; nil: it leads to a sibling
	forward bool         // packets are queued as ForwardPacket frames, for a sibling
	swept   atomic.Bool  // the sweeper looks after this outbox
	limit   int32        // bytes of frames in each of disco and other
	age     int64        // nanoseconds a packet may wait; 0: no limit
	page    *ledger.Page // set at registration
	writer  func()       // egress.go: writeWhenReady, made once

	mu       sync.Mutex
	control  framequeue.Queue // guarded by mu, as all below
	disco    framequeue.Queue
	other    framequeue.Queue
	turns    *framequeue.Turns   // fair.go: behind other, while several sources have much waiting; nil: no
	source   uint32              // who pushed into other when it was empty
	mixed    bool                // and not he alone since
	writing  bool                // somebody holds the write side
	closed   bool                // nothing is queued any more
	broken   bool                // the stream has failed; the write side is nobody's any more
	pongIn   *framequeue.Segment // the segment of control with a Pong; nil if none waits
	pushedAt int64               // when a packet was pushed last
	account  ledger.Account      // of what was taken, and given up

	inHand    atomic.Int64 // packets taken and not yet counted as sent or dropped
	blockedAt atomic.Int64 // when the stream last took nothing; 0: it is not full
}

// What a frame adds to its packet.
const (
	recvOverhead    = derp.HeaderLen + derp.KeyLen
	forwardOverhead = derp.HeaderLen + 2*derp.KeyLen
)

func (o *outbox) overhead() int {
	if o.forward {
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
	q := &o.other
	if k == ledger.Disco {
		q = &o.disco
	}
	overhead := o.overhead()
	size := overhead + len(packet)
	if o.closed {
		o.dropLocked(ledger.GoneDisconnected, k, 1, size)
		return 0
	}
	o.dropStaleLocked(q, k, now)
	if size > int(o.limit) {
		o.dropLocked(ledger.QueueTail, k, 1, size)
		return 1
	}
	var frame []byte
	if k == ledger.Data && o.sharedLocked(src, size) {
		frame, dropped = o.extendTurnsLocked(src, size, now)
	} else {
		for q.Bytes+size > int(o.limit) {
			o.dropLocked(ledger.QueueHead, k, 1, q.DropOldest())
			dropped++
		}
		frame = q.Extend(size, now, o.age/4)
	}
	o.pushedAt = now
	t := derp.FrameRecvPacket
	if o.forward {
		t = derp.FrameForwardPacket
		copy(frame[recvOverhead:], dst[:])
	}
	derp.PutHeader(frame, t, size-derp.HeaderLen)
	copy(frame[derp.HeaderLen:], src[:])
	copy(frame[overhead:], packet)
	return dropped
}

// pushControl queues a control frame. It reports false when the conn takes none
// any more: it is closed, or more than limit bytes of them wait already.
func (o *outbox) pushControl(frame []byte, limit int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.control.Bytes+len(frame) > limit {
		return false
	}
	copy(o.control.Extend(len(frame), 0, 0), frame)
	return true
}

// pushPong queues a Pong, unless one is waiting already.
func (o *outbox) pushPong(data [derp.PingLen]byte) bool {
	var room [derp.HeaderLen + derp.PingLen]byte
	frame := derp.AppendPong(room[:0], data)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.pongIn != nil {
		return false
	}
	copy(o.control.Extend(len(frame), 0, 0), frame)
	o.pongIn = o.control.Tail
	return true
}

// A batch is what one round of egress writes.
type batch = framequeue.Batch

// controlPerBatch is how many of its segments may be of control frames.
const controlPerBatch = 2

// takeLocked moves the next frames into b, dropping packets that waited too
// long. It reports false if there is nothing to write.
func (o *outbox) takeLocked(b *batch, now int64) bool {
	for b.N < controlPerBatch && o.control.Head != nil {
		s := o.control.Take()
		if s == o.pongIn {
			o.pongIn = nil
		}
		b.AddControls(s)
	}
	o.dropStaleLocked(&o.disco, ledger.Disco, now)
	o.dropStaleLocked(&o.other, ledger.Data, now)
	if o.disco.Head != nil {
		b.AddPackets(o.disco.Take(), int(ledger.Disco), o.overhead(), now)
	}
	for turn := 0; b.N < framequeue.BatchSegments && (turn == 0 || b.Size < framequeue.BatchBytes); turn++ {
		s := o.takeDataLocked()
		if s == nil {
			break
		}
		b.AddPackets(s, int(ledger.Data), o.overhead(), now)
	}
	o.account.Send(b)
	return b.N > 0
}

// emptyLocked reports whether nothing waits.
func (o *outbox) emptyLocked() bool {
	return o.control.Head == nil && o.disco.Head == nil && o.other.Head == nil && o.turns == nil
}

// dropStaleLocked drops the segments whose newest packet is too old. As a segment
// spans a quarter of the age at most, no packet waits longer than 5/4 of it. What
// waits for no stream that is full waits for our own turn, and is sent.
func (o *outbox) dropStaleLocked(q *framequeue.Queue, k ledger.Kind, now int64) {
	for o.age > 0 && q.Head != nil && q.Head.Newest < now-o.age && o.blockedAt.Load() != 0 {
		o.giveUpLocked(ledger.QueueAge, k, q.Take())
	}
	if k == ledger.Data && o.turns != nil {
		o.dropStaleTurnsLocked(now)
	}
}

// giveUpLocked drops a segment that was taken.
func (o *outbox) giveUpLocked(r ledger.Reason, k ledger.Kind, s *framequeue.Segment) {
	o.dropLocked(r, k, s.Frames, s.Size())
	s.Release()
}

// dropStale drops what is too old of what waits.
func (o *outbox) dropStale(now int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropStaleLocked(&o.disco, ledger.Disco, now)
	o.dropStaleLocked(&o.other, ledger.Data, now)
}

// close drops every queued packet; nothing is queued afterwards. It reports whether
// nobody is writing what was taken before. Otherwise the writer finds the outbox closed
// when it has done so.
func (o *outbox) close() (idle bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for s := o.control.Take(); s != nil; s = o.control.Take() {
		s.Release()
	}
	for k, q := range [ledger.Kinds]*framequeue.Queue{ledger.Disco: &o.disco, ledger.Data: &o.other} {
		for s := q.Take(); s != nil; s = q.Take() {
			o.giveUpLocked(ledger.GoneDisconnected, ledger.Kind(k), s)
		}
	}
	for s := o.takeDataLocked(); s != nil; s = o.takeDataLocked() {
		o.giveUpLocked(ledger.GoneDisconnected, ledger.Data, s)
	}
	o.closed = true
	return !o.writing || o.broken
}

// state returns how many packets wait, here or in the hands of the writer, and what has
// become of the others.
func (o *outbox) state() (queued int, account ledger.Account) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waitingLocked() + int(o.inHand.Load()), o.account
}

// waitingLocked returns how many packets wait here.
func (o *outbox) waitingLocked() int {
	n := o.disco.Frames + o.other.Frames
	if o.turns != nil {
		n += o.turns.Frames
	}
	return n
}

func (o *outbox) queued() int {
	queued, _ := o.state()
	return queued
}
