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
// dropped, so nobody who pushes waits. It has one taker.
type outqueue struct {
	mu      sync.Mutex
	waiting batch // guarded by mu
	closed  bool  // guarded by mu
	used    bool  // since tidy; guarded by mu
	idle    bool  // the taker is to free memory; guarded by mu
	dropped *atomic.Uint64

	filled chan struct{} // tells the taker
	spare  batch         // owned by the taker
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
	since      time.Duration // of the Node's life
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
	q.used, q.idle = true, false
	q.wake()
	return true
}

func (q *outqueue) wake() {
	select {
	case q.filled <- struct{}{}:
	default:
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
	if q.idle && len(q.waiting.packets) == 0 {
		q.waiting, q.spare = batch{}, batch{}
	}
	q.spare.empty()
	q.waiting, q.spare = q.spare, q.waiting
	return &q.spare
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
	q.closed = true
	q.dropped.Add(uint64(len(q.waiting.packets) - q.waiting.first))
	q.waiting = batch{}
}

// tidy has the memory of a queue freed that was not used since the last call.
func (q *outqueue) tidy() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.used && !q.idle {
		q.idle = true
		q.wake()
	}
	q.used = false
}
