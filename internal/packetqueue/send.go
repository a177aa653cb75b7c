package packetqueue

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/key"
)

const (
	maxBytes = 256 << 10
	// MaxPackets is how many packets a Send holds at most.
	MaxPackets = 1024
	// DefaultAge is how long packets are of use for discovery: WireGuard and disco
	// have sent anew by then.
	DefaultAge = 5 * time.Second
)

// Send has the packets that wait to be sent. When it is full, what waited longest
// is dropped, so nobody who pushes waits; who would rather wait calls [Send.AwaitRoom].
// It has a taker while there is something to take, and holds no memory without one.
type Send struct {
	mu      sync.Mutex
	waiting Batch // guarded by mu
	opened  bool  // there may be a taker; guarded by mu
	taken   bool  // there is one; guarded by mu
	closed  bool  // guarded by mu

	isCrowded    atomic.Bool   // it is more than half full; written under mu
	crowdedSince time.Duration // guarded by mu
	room         chan struct{} // guarded by mu: closed when it is no more; nil: nobody waits

	// Set once.
	begin   func()
	maxAge  time.Duration
	filled  chan struct{} // tells the taker
	dropped *atomic.Uint64

	spare Batch // owned by the taker
}

// NewSend returns a queue whose takers are started by begin, which is called with a
// lock held and must not wait. Packets that have waited for longer than maxAge are
// dropped, and counted in dropped as are all others that nobody took.
func NewSend(begin func(), maxAge time.Duration, dropped *atomic.Uint64) *Send {
	return &Send{begin: begin, maxAge: maxAge, filled: make(chan struct{}, 1), dropped: dropped}
}

// Batch is packets in order. Those before first were dropped.
type Batch struct {
	data    []byte
	packets []queued
	first   int
	bytes   int // of those that were not dropped
}

// queued is data[start:end] of its batch.
type queued struct {
	peer       key.Public
	start, end int
	since      time.Duration
}

// All yields the packets, which are valid as long as the batch.
func (b *Batch) All() iter.Seq2[key.Public, []byte] {
	return func(yield func(key.Public, []byte) bool) {
		for _, p := range b.packets[b.first:] {
			if !yield(p.peer, b.data[p.start:p.end]) {
				return
			}
		}
	}
}

// Empty reports whether there are no packets.
func (b *Batch) Empty() bool { return b.first == len(b.packets) }

// oldAt returns when the oldest packet, which must be there, is as old as it may be.
func (q *Send) oldAt(b *Batch) time.Duration { return b.packets[b.first].since + q.maxAge }

// DropOld drops what is too old of a batch that was taken. It returns how long the
// oldest of the others has, and 0 if there is none.
func (q *Send) DropOld(b *Batch, now time.Duration) time.Duration {
	for ; !b.Empty(); q.dropped.Add(1) {
		if at := q.oldAt(b); at >= now {
			return max(at-now, 1)
		}
		b.dropFirst()
	}
	return 0
}

func (b *Batch) clear() { b.data, b.packets, b.first, b.bytes = b.data[:0], b.packets[:0], 0, 0 }

func (b *Batch) dropFirst() {
	b.bytes -= b.packets[b.first].end - b.packets[b.first].start
	b.first++
}

// compact moves what is left to the front.
func (b *Batch) compact() {
	offset := len(b.data)
	if !b.Empty() {
		offset = b.packets[b.first].start
	}
	b.data = b.data[:copy(b.data, b.data[offset:])]
	b.packets = b.packets[:copy(b.packets, b.packets[b.first:])]
	for i := range b.packets {
		b.packets[i].start -= offset
		b.packets[i].end -= offset
	}
	b.first = 0
}

// Push adds a copy of a packet; now is the time on the caller's clock. It returns
// false if the queue is closed.
func (q *Send) Push(peer key.Public, packet []byte, now time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	w := &q.waiting
	for !w.Empty() && (w.bytes+len(packet) > maxBytes || len(w.packets)-w.first == MaxPackets) {
		w.dropFirst()
		q.dropped.Add(1)
	}
	if w.first > 0 && (len(w.data) > 2*maxBytes || len(w.packets) > 2*MaxPackets) {
		w.compact()
	}
	start := len(w.data)
	w.data = append(w.data, packet...)
	w.packets = append(w.packets, queued{peer, start, len(w.data), now})
	w.bytes += len(packet)
	if (w.bytes > maxBytes/2 || len(w.packets)-w.first > MaxPackets/2) && !q.isCrowded.Load() {
		q.isCrowded.Store(true)
		q.crowdedSince = now
	}
	q.wakeLocked()
	return true
}

// AwaitRoom waits while the queue is more than half full, until done is closed, and for
// maxAge at the most: a queue that nothing has been taken from for so long is not worth
// waiting for.
func (q *Send) AwaitRoom(now time.Duration, done <-chan struct{}) {
	room, atMost := q.crowded(now)
	if room == nil {
		return
	}
	late := time.NewTimer(atMost)
	defer late.Stop()
	select {
	case <-room:
	case <-late.C:
	case <-done:
	}
}

// crowded returns what to wait for, and how long; nil: nothing.
func (q *Send) crowded(now time.Duration) (room <-chan struct{}, atMost time.Duration) {
	if !q.isCrowded.Load() {
		return nil, 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if atMost = q.crowdedSince + q.maxAge - now; !q.isCrowded.Load() || atMost <= 0 {
		return nil, 0
	}
	if q.room == nil {
		q.room = make(chan struct{})
	}
	return q.room, atMost
}

// emptiedLocked is when nothing waits any more.
func (q *Send) emptiedLocked() {
	q.isCrowded.Store(false)
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

// wakeLocked tells the taker, or starts one.
func (q *Send) wakeLocked() {
	select {
	case q.filled <- struct{}{}:
	default:
	}
	if q.opened && !q.taken {
		q.taken = true
		q.begin()
	}
}

// Open lets takers begin.
func (q *Send) Open() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.opened = !q.closed
	if len(q.waiting.packets) > 0 {
		q.wakeLocked()
	}
}

// Filled tells the taker that there may be something to take.
func (q *Send) Filled() <-chan struct{} { return q.filled }

// Take returns what waits and is not too old, which may be nothing. It is the
// taker's until the next call.
func (q *Send) Take(now time.Duration) *Batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare.clear()
	q.waiting, q.spare = q.spare, q.waiting
	q.emptiedLocked()
	q.DropOld(&q.spare, now)
	return &q.spare
}

// Leave ends the taker's work, unless there is something to take.
func (q *Send) Leave() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting.packets) > 0 {
		return false
	}
	q.taken = false
	q.waiting, q.spare = Batch{}, Batch{}
	return true
}

// Close makes the queue take nothing any more.
func (q *Send) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.opened = true, false
	q.dropped.Add(uint64(len(q.waiting.packets) - q.waiting.first))
	q.waiting = Batch{}
	q.emptiedLocked()
}
