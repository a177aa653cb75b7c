package framequeue

import "math"

// A Box holds the frames that wait for one receiver, in the order
//
//	control frames · disco packets · other packets
//
// where a batch takes at most one segment of disco packets, or a few short ones, before
// the others have their turn. It counts what it holds in the stock of all boxes.
type Box struct {
	// Read only for others.
	Control Queue
	Disco   Fair
	Other   Fair
	Limit   int32 // set once: bytes of frames in each of Disco and Other
	Wide    bool  // set once: many get what is in it

	behind bool     // the stream has not taken what it was given
	slow   bool     // it did not lately
	alone  uint8    // how many times one source has to be the only one until there were not several lately
	pongIn *Segment // the segment of Control with a Pong; nil if none waits

	staged  int32 // KiB that the stream has in hand
	counted int32 // KiB of the stock
}

// A Why says why packets were given up.
type Why uint8

// The reasons.
const (
	Full  Why = iota // they waited longest in a full box
	Short            // all boxes together hold too much, and this one more than its part
	Old              // they waited too long
	Over             // the box is not used any more

	Whys
)

// Losses are told which packets were given up: how many, and the bytes of their frames.
type Losses interface {
	Lost(why Why, kind, packets, bytes int)
}

// Append makes room for the frame of a packet behind the last one of its source, as far
// as there is some; otherwise it returns nil.
func (b *Box) Append(kind int, source uint64, size int, now, span int64) []byte {
	if kind == Data {
		b.note(source)
	}
	if b.of(kind).Bytes()+size > int(b.Limit) {
		return nil
	}
	return b.of(kind).Append(source, size, now, span)
}

// Several reports whether packets of several sources have come lately.
func (b *Box) Several() bool { return b.alone > 0 || b.Other.Shared() }

// note notes whose packet comes.
func (b *Box) note(source uint64) {
	switch was := b.Other.One.source; {
	case was == uint32(source)|1:
		if b.alone > 0 && b.Other.One.Head == nil {
			b.alone--
		}
	case was != 0:
		b.alone = math.MaxUint8
	}
}

// Room makes room for the frame of a packet where Append does not, at the cost of what
// has waited longest: of who has most waiting, if several sources do. It returns nil if
// there is none. dropped is how many packets it cost through the source's own fault.
func (b *Box) Room(s *Stock, kind int, source uint64, size int, now, span int64, l Losses) (frame []byte, dropped int) {
	if b.of(kind).Bytes()+size > int(b.Limit) {
		dropped = b.makeRoom(kind, source, size, l)
		frame = b.Append(kind, source, size, now, span)
	}
	if frame == nil {
		given, ok := b.yield(s, kind, source, size, l)
		if dropped += given; !ok {
			b.of(kind).leave()
			b.Other.leave()
			b.settle(s)
			return nil, dropped + 1
		}
		frame = b.of(kind).Extend(source, size, now, span)
	}
	b.settle(s)
	return frame, dropped
}

// of is where the packets of a kind wait.
func (b *Box) of(kind int) *Fair {
	if kind == Disco {
		return &b.Disco
	}
	return &b.Other
}

// makeRoom gives up frames until one of size bytes is within the limit.
func (b *Box) makeRoom(kind int, source uint64, size int, l Losses) (dropped int) {
	for b.of(kind).Bytes()+size > int(b.Limit) {
		bytes, own := b.of(kind).DropFor(source, size)
		l.Lost(Full, kind, 1, bytes)
		if own {
			dropped++
		}
	}
	return dropped
}

// yield gives up what has waited longest until the stock has another segment for this
// box. It reports false if all was not enough.
func (b *Box) yield(s *Stock, kind int, source uint64, size int, l Losses) (dropped int, ok bool) {
	more := kibFor(max(size, SegmentSize))
	for !s.grants(b, more) {
		k := Data
		oldest, own := b.Other.TakeFor(source)
		if oldest == nil && kind == Disco {
			k = Disco
			oldest, own = b.Disco.TakeFor(source)
		}
		if oldest == nil {
			return dropped, false
		}
		if own {
			dropped += oldest.Frames
		}
		giveUp(oldest, Short, k, l)
	}
	return dropped, true
}

func giveUp(s *Segment, why Why, kind int, l Losses) {
	l.Lost(why, kind, s.Frames, s.Size())
	s.Release()
}

// AddControl queues a control frame, unless more than limit bytes of them wait.
func (b *Box) AddControl(s *Stock, frame []byte, limit int) bool {
	if int(b.Control.Bytes)+len(frame) > limit {
		return false
	}
	copy(b.Control.Extend(len(frame), 0, 0), frame)
	b.settle(s)
	return true
}

// AddPong queues a Pong, unless one is waiting already.
func (b *Box) AddPong(s *Stock, frame []byte) bool {
	if b.pongIn != nil {
		return false
	}
	copy(b.Control.Extend(len(frame), 0, 0), frame)
	b.pongIn = b.Control.Tail
	b.settle(s)
	return true
}

// ControlsPerBatch is how many of its segments may be of control frames.
const ControlsPerBatch = 2

// Take moves the next frames into an empty batch, which the stream has in hand until
// the next Take.
func (b *Box) Take(s *Stock, to *Batch, overhead int, now int64) {
	for to.N < ControlsPerBatch && b.Control.Head != nil {
		c := b.Control.Take()
		if c == b.pongIn {
			b.pongIn = nil
		}
		to.AddControls(c)
	}
	b.take(Disco, to, BatchSegments-1, to.Size+SegmentSize/2, overhead, now)
	most := BatchBytes
	if b.slow && s.tight() {
		most = 1 // what a stream has in hand cannot be given up any more
	}
	b.take(Data, to, BatchSegments, most, overhead, now)
	b.staged = int32(kibFor(to.Size))
	b.settle(s)
}

// take moves packets of a kind into a batch, at least a segment, until it has so many
// segments or bytes.
func (b *Box) take(kind int, to *Batch, segments, bytes, overhead int, now int64) {
	for first := true; to.N < segments && (first || to.Size < bytes); first = false {
		s := b.of(kind).Take()
		if s == nil {
			return
		}
		to.AddPackets(s, kind, overhead, now)
	}
}

// Empty reports whether nothing waits.
func (b *Box) Empty() bool { return b.Control.Head == nil && b.Disco.Empty() && b.Other.Empty() }

// Packets returns how many packets wait.
func (b *Box) Packets() int { return b.Disco.Frames() + b.Other.Frames() }

// Held returns how many KiB of memory it holds.
func (b *Box) Held() int {
	return int(b.Control.Held) + b.Disco.Held() + b.Other.Held() + int(b.staged)
}

// DropOlder gives up the segments of a kind whose newest packet was queued before a time.
func (b *Box) DropOlder(s *Stock, kind int, than int64, l Losses) {
	for old := b.of(kind).TakeOlder(than); old != nil; old = b.of(kind).TakeOlder(than) {
		giveUp(old, Old, kind, l)
		b.settle(s)
	}
}

// Clear gives up all that waits. What the stream has in hand stays there.
func (b *Box) Clear(s *Stock, l Losses) {
	for c := b.Control.Take(); c != nil; c = b.Control.Take() {
		c.Release()
	}
	for kind := range Kinds {
		for p := b.of(kind).Take(); p != nil; p = b.of(kind).Take() {
			giveUp(p, Over, kind, l)
		}
	}
	b.pongIn = nil
	b.settle(s)
}

// FallBehind says that what was taken last is still in the stream's hand, because the
// stream is full or its writer has enough of it.
func (b *Box) FallBehind(s *Stock, full bool) {
	b.behind, b.slow = true, b.slow || full
	b.settle(s)
}

// CatchUp says that the stream has nothing in hand any more.
func (b *Box) CatchUp(s *Stock) {
	b.behind, b.staged = false, 0
	b.settle(s)
}

// Calm forgets that the receiver was behind, if it is not now.
func (b *Box) Calm() { b.slow = b.behind }

// settle has the stock count what the box holds: all of it if its receiver is behind,
// otherwise what is more than it should.
func (b *Box) settle(s *Stock) {
	held := int32(b.Held())
	if !b.behind {
		held = max(0, held-uncounted)
	}
	if held != b.counted {
		s.add(int64(held - b.counted))
		b.counted = held
	}
}
