package client

import (
	"errors"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// What comes in takes this way: the reader of each connection puts what has arrived with one read of the socket into a
// chunk, chunks go through a queue, and Recv takes messages out of them. A reader that has no free chunk waits, so the relay
// is slowed down by TCP as if Recv were called on the connection itself.

const (
	chunksPerSession = 2
	maxUnread        = 64  // chunks in the queue; only those of many connections reach it
	maxEntries       = 256 // in a chunk
)

// inbox is where Recv takes messages from. The regions of a Host have one together.
type inbox struct {
	full   chan *chunk
	closed <-chan struct{}

	// Owned by the caller of Recv.
	open *chunk
	next int // entry of open
}

func newInbox(closed <-chan struct{}) *inbox {
	return &inbox{full: make(chan *chunk, maxUnread), closed: closed}
}

// chunk is some messages in order. It belongs to whoever took it from a channel last.
type chunk struct {
	home    chan<- *chunk // has room for it
	of      *hostRegion   // where it came in; nil: not in a Host
	buf     []byte
	used    int
	entries []entry
}

// entry is a packet, buf[start:end] from peer, or else another message.
type entry struct {
	peer       key.Public
	start, end int
	other      *Message
}

// empty makes the chunk one of no messages, with a buffer of at least that size.
func (c *chunk) empty(size int) {
	if len(c.buf) != size {
		freeInput(c.buf)
		c.buf = newInput(size)
	}
	c.used = 0
	clear(c.entries) // of messages
	c.entries = c.entries[:0]
}

// giveBack returns a chunk whose messages are not needed any more. It keeps no buffer.
func (c *chunk) giveBack() {
	freeInput(c.buf)
	c.buf = nil
	c.home <- c
}

func (c *chunk) add(msg *Message) {
	if msg.Kind == MessagePacket {
		start := c.used
		c.used += len(msg.Packet)
		c.entries = append(c.entries, entry{peer: msg.Peer, start: start, end: c.used})
		return
	}
	other := *msg // only this one has to outlive the call
	c.entries = append(c.entries, entry{other: &other})
}

// read receives until the connection ends. While it waits it holds no buffer, and little stack.
func (r *Region) read(s *session) {
	defer s.conn.Close()
	for more := r.pass(s, true); more; {
		if s.conn.awaitFrame() != nil {
			return
		}
		s.hear()
		more = r.pass(s, false)
	}
}

// pass puts what has arrived into the inbox; before anything else ServerInfo, which has arrived already. It returns false if the
// connection has ended.
func (r *Region) pass(s *session, first bool) bool {
	c := s.takeFree()
	if c == nil {
		return false
	}
	c.of = r.of
	var err error
	if first {
		c.empty(0)
		c.add(&s.msg)
	} else {
		err = s.fill(c)
	}
	r.inbox.push(c, r)
	return err == nil
}

// takeFree waits for a free chunk, and returns nil if the connection ended before.
func (s *session) takeFree() *chunk {
	select {
	case c := <-s.free:
		return c
	default:
	}
	s.held.Store(true)
	defer s.held.Store(false)
	select {
	case c := <-s.free:
		s.hear() // before held is unset: the time of silence begins now
		s.conn.sock.restart = true
		return c
	case <-s.conn.done:
		return nil
	}
}

func (b *inbox) push(c *chunk, r *Region) {
	if len(c.entries) == 0 {
		c.giveBack()
		return
	}
	select {
	case b.full <- c:
	default:
		r.stats.unread.Add(uint64(len(c.entries)))
		c.giveBack()
	}
}

// fill takes the messages that are there, or whose beginning is.
func (s *session) fill(c *chunk) error {
	for c.empty(s.conn.in.size()); ; {
		s.msg = Message{}
		err := s.conn.recv(&s.msg, c.buf[c.used:])
		switch {
		case errors.Is(err, ErrBufferSize) && len(c.entries) > 0:
			return nil
		case errors.Is(err, ErrBufferSize):
			c.empty(max(len(c.buf), s.conn.in.frameLen()))
			continue
		case err != nil:
			return err
		}
		s.take(c, &s.msg)
		if len(c.entries) == maxEntries || !s.conn.in.hasFrame() {
			return nil
		}
	}
}

// take keeps what the caller of Recv wants to know.
func (s *session) take(c *chunk, msg *Message) {
	switch msg.Kind {
	case MessagePacket:
		s.noteReceived()
		c.add(msg)
		return
	case MessageKeepAlive, MessagePong:
		s.hear()
		return
	case MessageRestarting:
		select {
		case s.restarting <- restart{msg.ReconnectIn, msg.TryFor}:
		default:
		}
	}
	c.add(msg)
}

// size returns how large a buffer the traffic asks for.
func (b *inbuf) size() int {
	if b.busy {
		return largeInput
	}
	return smallInput
}

// frameLen returns the length of the frame whose header is buffered.
func (b *inbuf) frameLen() int {
	_, n := derp.ParseHeader(b.buffered())
	return derp.HeaderLen + n
}

// hasFrame reports whether a whole frame is buffered.
func (b *inbuf) hasFrame() bool {
	return len(b.buffered()) >= derp.HeaderLen && len(b.buffered()) >= b.frameLen()
}

// Recv waits for the next message from any relay of the region, like Conn.Recv: a packet is put into buf, and after
// ErrBufferSize the same packet is returned to the next call with a larger buffer. The only other error is ErrClosed.
// Each connection begins with MessageServerInfo. KeepAlives and Pongs are not passed on. While one relay hands over to
// another, packets of both come in any order.
func (r *Region) Recv(buf []byte) (Message, error) {
	msg, _, err := r.inbox.recv(buf)
	return msg, err
}

// recv returns the next message and where it came in. The chunk that it was in is free again if it was the last.
func (b *inbox) recv(buf []byte) (msg Message, of *hostRegion, err error) {
	if b.open == nil {
		if err := b.awaitChunk(); err != nil {
			return msg, nil, err
		}
	}
	of = b.open.of
	e := &b.open.entries[b.next]
	if e.other != nil {
		msg = *e.other
	} else {
		n := e.end - e.start
		if n > len(buf) {
			return msg, of, bufferError(n, len(buf))
		}
		msg.Kind, msg.Peer, msg.Packet = MessagePacket, e.peer, buf[:n:n]
		copy(msg.Packet, b.open.buf[e.start:e.end])
	}
	if b.next++; b.next == len(b.open.entries) {
		b.open.giveBack()
		b.open, b.next = nil, 0
	}
	return msg, of, nil
}

// ready reports whether recv returns at once.
func (b *inbox) ready() bool { return b.open != nil || len(b.full) > 0 }

func (b *inbox) awaitChunk() error {
	select {
	case <-b.closed:
		return ErrClosed
	default:
	}
	select {
	case b.open = <-b.full:
		return nil
	case <-b.closed:
		return ErrClosed
	}
}
