package client

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/key"
)

const (
	maxQueued      = 256 << 10 // bytes of packets that wait for a region
	maxQueuedCount = 1024
	maxQueueAge    = 5 * time.Second // WireGuard and disco have sent anew by then
)

// outqueue has the packets that wait for a region: at most so many bytes, and for so long. When it is full, what waited longest is
// dropped, so nobody who pushes waits. It has a taker while there is something to take, and holds no memory without one.
type outqueue struct {
	mu      sync.Mutex
	waiting batch // guarded by mu
	opened  bool  // there may be a taker; guarded by mu
	taken   bool  // there is one; guarded by mu
	closed  bool  // guarded by mu

	// Set once.
	begin   func()        // starts a taker; called with mu held
	filled  chan struct{} // tells the taker
	dropped *atomic.Uint64

	spare batch // owned by the taker
}

// batch is packets in order. Those before first were dropped.
type batch struct {
	data    []byte
	packets []queued
	first   int
	bytes   int // of those that were not dropped
}

// queued is data[start:end] of its batch.
type queued struct {
	peer       key.Public
	start, end int
	since      time.Duration // of the Host's life
}

func (b *batch) empty() { b.data, b.packets, b.first, b.bytes = b.data[:0], b.packets[:0], 0, 0 }

func (b *batch) dropFirst() {
	b.bytes -= b.packets[b.first].end - b.packets[b.first].start
	b.first++
}

// push adds a copy of a packet. It returns false if the queue is closed.
func (q *outqueue) push(peer key.Public, packet []byte, now time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	w := &q.waiting
	for len(w.packets) > w.first && (w.bytes+len(packet) > maxQueued || len(w.packets)-w.first == maxQueuedCount) {
		w.dropFirst()
		q.dropped.Add(1)
	}
	if w.first > 0 && (len(w.data) > 2*maxQueued || len(w.packets) > 2*maxQueuedCount) {
		w.compact()
	}
	start := len(w.data)
	w.data = append(w.data, packet...)
	w.packets = append(w.packets, queued{peer, start, len(w.data), now})
	w.bytes += len(packet)
	q.wakeLocked()
	return true
}

// wakeLocked tells the taker, or starts one.
func (q *outqueue) wakeLocked() {
	select {
	case q.filled <- struct{}{}:
	default:
	}
	if q.opened && !q.taken {
		q.taken = true
		q.begin()
	}
}

// open lets takers begin.
func (q *outqueue) open() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.opened = !q.closed
	if len(q.waiting.packets) > 0 {
		q.wakeLocked()
	}
}

// compact moves what is left to the front.
func (b *batch) compact() {
	offset := len(b.data)
	if b.first < len(b.packets) {
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

// take returns what waits, which may be nothing. It is the taker's until the next call.
func (q *outqueue) take() *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare.empty()
	q.waiting, q.spare = q.spare, q.waiting
	return &q.spare
}

// leave ends the taker's work, unless there is something to take.
func (q *outqueue) leave() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting.packets) > 0 {
		return false
	}
	q.taken = false
	q.waiting, q.spare = batch{}, batch{}
	return true
}

// dropOld drops what has waited for too long, and returns how much that was.
func (b *batch) dropOld(now time.Duration) (n uint64) {
	for b.first < len(b.packets) && now-b.packets[b.first].since > maxQueueAge {
		b.dropFirst()
		n++
	}
	return n
}

// close makes the queue take nothing any more.
func (q *outqueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.opened = true, false
	q.dropped.Add(uint64(len(q.waiting.packets) - q.waiting.first))
	q.waiting = batch{}
}
