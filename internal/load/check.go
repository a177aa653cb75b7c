package load

import (
	"fmt"
	"math"
	"sync/atomic"

	"github.com/detour-relay/detour/key"
)

// stream is the packets from one sender to one receiver.
type stream struct {
	// set once
	id   uint32
	from key.Public
	to   key.Public

	// owned by the sender
	seq uint64 // of the next packet

	// The packets windowFrom <= number < windowTo belong to the measured window.
	// The sender writes windowFrom before it sends the first of them, for the
	// receiver to see, and windowTo when it ends.
	windowFrom, windowTo atomic.Uint64

	// written by the receiver, read by anyone
	arrived   atomic.Uint64 // all packets, whenever sent
	delivered atomic.Uint64 // those sent in the measured window

	// owned by the receiver
	expected uint64
}

func newStream(id uint32, from, to key.Public) *stream {
	s := &stream{id: id, from: from, to: to}
	s.windowFrom.Store(math.MaxUint64)
	return s
}

// sentInWindow is how many packets the sender sent in the measured window, once it
// has stopped.
func (s *stream) sentInWindow() uint64 {
	from, to := s.windowFrom.Load(), s.windowTo.Load()
	if from == math.MaxUint64 || to < from {
		return 0
	}
	return to - from
}

// Fault is a way in which a received frame was not what had been sent. A relay may
// lose packets; it may never do this.
type Fault int

// The faults, in the order in which they are looked for.
const (
	WrongLength  Fault = iota // not as long as it was sent
	WrongContent              // a byte is not as it was sent
	WrongSource               // the frame names a source that did not send it, or it came to the wrong peer
	Repeated                  // this very packet came before
	Backwards                 // a later packet of the stream came before
	faultKinds
)

func (f Fault) String() string {
	switch f {
	case WrongLength:
		return "wrong length"
	case WrongContent:
		return "wrong content"
	case WrongSource:
		return "wrong source"
	case Repeated:
		return "repeated"
	case Backwards:
		return "out of order"
	}
	return "unknown fault"
}

// checker judges what one receiver gets. It belongs to that receiver's goroutine.
type checker struct {
	text    text
	size    int
	to      key.Public
	streams []*stream // of the whole run, by id

	faults  [faultKinds]uint64
	broken  map[uint32]bool // streams with a fault; math.MaxUint32 stands for "no telling which"
	example string          // the first fault in words
}

// take judges one packet and books it on its stream, which it returns; nil after a
// fault.
func (c *checker) take(source key.Public, packet []byte) (*stream, stamp) {
	said, intact := c.text.read(packet)
	switch {
	case len(packet) != c.size:
		c.fault(WrongLength, said, source, fmt.Sprintf("%d bytes instead of %d", len(packet), c.size))
		return nil, said
	case !intact || int(said.stream) >= len(c.streams):
		c.fault(WrongContent, said, source, "the payload differs from what was sent")
		return nil, said
	}
	s := c.streams[said.stream]
	if source != s.from || c.to != s.to {
		c.fault(WrongSource, said, source, fmt.Sprintf("was sent by %s to %s", s.from.Short(), s.to.Short()))
		return nil, said
	}
	if said.seq < s.expected {
		c.disorder(s, said)
		return nil, said
	}
	s.expected = said.seq + 1
	s.arrived.Store(s.arrived.Load() + 1)
	if said.seq >= s.windowFrom.Load() {
		s.delivered.Store(s.delivered.Load() + 1)
	}
	return s, said
}

// disorder tells a repetition from a packet overtaken by later ones. Only the last
// packet is remembered: an older one coming again counts as out of order.
func (c *checker) disorder(s *stream, said stamp) {
	kind := Backwards
	if said.seq == s.expected-1 {
		kind = Repeated
	}
	c.fault(kind, said, s.from, fmt.Sprintf("packet %d came after packet %d", said.seq, s.expected-1))
}

func (c *checker) fault(kind Fault, said stamp, source key.Public, what string) {
	c.faults[kind]++
	stream := said.stream
	if kind == WrongLength || kind == WrongContent {
		stream = c.streamOf(source)
	}
	c.broken[stream] = true
	if c.example == "" {
		c.example = fmt.Sprintf("%s: from %s to %s: %s", kind, source.Short(), c.to.Short(), what)
	}
}

// streamOf finds the stream by who claims to have sent, for packets whose own word
// cannot be trusted.
func (c *checker) streamOf(source key.Public) uint32 {
	for _, s := range c.streams {
		if s.from == source && s.to == c.to {
			return s.id
		}
	}
	return math.MaxUint32
}
