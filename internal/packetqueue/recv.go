package packetqueue

import (
	"github.com/detour-relay/detour/internal/readbuf"
	"github.com/detour-relay/detour/key"
)

const (
	maxChunks  = 64  // in the queue; only those of many readers reach it
	maxEntries = 256 // in a chunk
)

// Recv takes what readers have read to one who takes items out of it. An item is a
// packet or a message of type M. What one read of a socket yields is one [Chunk]; a
// reader has few of them, and one without a free chunk waits, so that its sender is
// slowed down by TCP.
type Recv[M any] struct {
	full   chan *Chunk[M]
	closed <-chan struct{}

	// Owned by the taker.
	open *Chunk[M]
	next int // entry of open
}

// NewRecv returns a queue that yields nothing any more once closed is.
func NewRecv[M any](closed <-chan struct{}) *Recv[M] {
	return &Recv[M]{full: make(chan *Chunk[M], maxChunks), closed: closed}
}

// Item is what came in: a packet from a peer, or a message if that is not nil.
type Item[M any] struct {
	From   any // the tag of its chunk
	Peer   key.Public
	Packet []byte // valid until Next
	Other  *M
}

// Peek waits for an item, and returns the same one until Next. It returns false if
// the queue is closed.
func (q *Recv[M]) Peek() (Item[M], bool) {
	if q.open == nil && !q.await() {
		return Item[M]{}, false
	}
	e := &q.open.entries[q.next]
	return Item[M]{q.open.tag, e.peer, q.open.buf[e.start:e.end], e.other}, true
}

// Next is done with the item that Peek returned.
func (q *Recv[M]) Next() {
	if q.next++; q.next == len(q.open.entries) {
		q.open.giveBack()
		q.open, q.next = nil, 0
	}
}

// Ready reports whether Peek returns at once.
func (q *Recv[M]) Ready() bool { return q.open != nil || len(q.full) > 0 }

func (q *Recv[M]) await() bool {
	select {
	case <-q.closed:
		return false
	default:
	}
	select {
	case q.open = <-q.full:
		return true
	case <-q.closed:
		return false
	}
}

// Push passes a chunk on. It never waits: if there is no room, the chunk is
// dropped, and the number of its items is returned.
func (q *Recv[M]) Push(c *Chunk[M]) (dropped int) {
	if len(c.entries) == 0 {
		c.giveBack()
		return 0
	}
	n := len(c.entries)
	select {
	case q.full <- c:
		return 0
	default:
		c.giveBack()
		return n
	}
}

// Chunk is some items in order. It belongs to whoever took it from a channel last.
type Chunk[M any] struct {
	home    chan<- *Chunk[M] // has room for it
	tag     any
	buf     []byte
	used    int
	entries []entry[M]
}

// entry is a packet, buf[start:end] from peer, or else another message.
type entry[M any] struct {
	peer       key.Public
	start, end int
	other      *M
}

// NewChunks returns n free chunks for one reader. They come back to the channel.
// Items in them are marked with the tag, which says where they came in.
func NewChunks[M any](n int, tag any) <-chan *Chunk[M] {
	free := make(chan *Chunk[M], n)
	for range n {
		free <- &Chunk[M]{home: free, tag: tag}
	}
	return free
}

// Reset empties the chunk, and gives it a buffer of at least that size.
func (c *Chunk[M]) Reset(size int) {
	if len(c.buf) != size {
		readbuf.Free(c.buf)
		c.buf = readbuf.New(size)
	}
	c.used = 0
	clear(c.entries) // of messages
	c.entries = c.entries[:0]
}

// Room returns where the next packet may be put.
func (c *Chunk[M]) Room() []byte { return c.buf[c.used:] }

// Size returns the size of the buffer.
func (c *Chunk[M]) Size() int { return len(c.buf) }

// Empty reports whether there is nothing in it.
func (c *Chunk[M]) Empty() bool { return len(c.entries) == 0 }

// Full reports whether nothing more may be added.
func (c *Chunk[M]) Full() bool { return len(c.entries) == maxEntries }

// AddPacket adds a packet of n bytes, which were put into Room.
func (c *Chunk[M]) AddPacket(peer key.Public, n int) {
	start := c.used
	c.used += n
	c.entries = append(c.entries, entry[M]{peer: peer, start: start, end: c.used})
}

// Add adds a message.
func (c *Chunk[M]) Add(m *M) { c.entries = append(c.entries, entry[M]{other: m}) }

// giveBack returns a chunk whose items are not needed any more. It keeps no buffer.
func (c *Chunk[M]) giveBack() {
	readbuf.Free(c.buf)
	c.buf = nil
	c.home <- c
}
