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
	age     int64        // nanoseconds a packet may wait; 0: no limit
	page    *ledger.Page // set at registration
	writer  func()       // egress.go: writeWhenReady, made once

	mu       sync.Mutex
	control  framequeue.Queue // guarded by mu, as all below
	disco    framequeue.Queue
	other    framequeue.Fair
	limit    int32               // bytes of frames in each of disco and other; set once
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
	overhead := o.overhead()
	size := overhead + len(packet)
	if o.closed {
		o.dropLocked(ledger.GoneDisconnected, k, 1, size)
		return 0
	}
	o.dropStaleLocked(k, now)
	if size > int(o.limit) {
		o.dropLocked(ledger.QueueTail, k, 1, size)
		return 1
	}
	frame, dropped := o.roomLocked(src, k, size, now)
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

// roomLocked makes room for a frame, at the cost of what has waited longest: of who has
// most waiting, if several sources do. dropped is how many packets that cost through the
// source's own fault.
func (o *outbox) roomLocked(src *key.Public, k ledger.Kind, size int, now int64) (frame []byte, dropped int) {
	if k == ledger.Disco {
		for ; o.disco.Bytes+size > int(o.limit); dropped++ {
			o.dropLocked(ledger.QueueHead, k, 1, o.disco.DropOldest())
		}
		return o.disco.Extend(size, now, o.age/4), dropped
	}
	source := binary.LittleEndian.Uint64(src[:]) // keys are as good as random
	for o.other.Bytes()+size > int(o.limit) {
		bytes, own := o.other.DropFor(source, size)
		o.dropLocked(ledger.QueueHead, k, 1, bytes)
		if own {
			dropped++
		}
	}
	return o.other.Extend(source, size, now, o.age/4), dropped
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
	o.dropStaleLocked(ledger.Disco, now)
	o.dropStaleLocked(ledger.Data, now)
	if o.disco.Head != nil {
		b.AddPackets(o.disco.Take(), int(ledger.Disco), o.overhead(), now)
	}
	for turn := 0; b.N < framequeue.BatchSegments && (turn == 0 || b.Size < framequeue.BatchBytes); turn++ {
		s := o.other.Take()
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
	return o.control.Head == nil && o.disco.Head == nil && o.other.Empty()
}

// dropStaleLocked drops the segments whose newest packet is too old. As a segment
// spans a quarter of the age at most, no packet waits longer than 5/4 of it. What
// waits for no stream that is full waits for our own turn, and is sent.
func (o *outbox) dropStaleLocked(k ledger.Kind, now int64) {
	if o.age == 0 || o.blockedAt.Load() == 0 {
		return
	}
	for s := o.takeOlderLocked(k, now-o.age); s != nil; s = o.takeOlderLocked(k, now-o.age) {
		o.giveUpLocked(ledger.QueueAge, k, s)
	}
}

func (o *outbox) takeOlderLocked(k ledger.Kind, than int64) *framequeue.Segment {
	if k == ledger.Disco {
		return o.disco.TakeOlder(than)
	}
	return o.other.TakeOlder(than)
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
	o.dropStaleLocked(ledger.Disco, now)
	o.dropStaleLocked(ledger.Data, now)
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
	for s := o.disco.Take(); s != nil; s = o.disco.Take() {
		o.giveUpLocked(ledger.GoneDisconnected, ledger.Disco, s)
	}
	for s := o.other.Take(); s != nil; s = o.other.Take() {
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
func (o *outbox) waitingLocked() int { return o.disco.Frames + o.other.Frames() }

func (o *outbox) queued() int {
	queued, _ := o.state()
	return queued
}
