package framequeue

import (
	"math/bits"
	"math/rand/v2"
	"sync"
)

// Turns queues the frames of several sources for one receiver, so that each has its
// turn: deficit round robin by whole segments, and who had nothing waiting comes first
// once. What does not fit is taken from who has most. The frames of a source keep their
// order. It is pooled, for receivers that are behind only.
type Turns struct {
	// Read only for others.
	Bytes, Frames int
	Held          int // KiB of memory

	seed   uint64             // so that nobody can search for keys that share a place with another
	source [turnPlaces]uint64 // whose place it is, or was last
	places [turnPlaces]place
	fresh  turn  // places that had nothing waiting, in order
	later  turn  // the others
	listed int   // places in both
	taken  int64 // bytes so far, and one
}

const (
	// turnPlaces is how many sources have a place of their own. If all are taken, others
	// share one with them.
	turnPlaces = 32

	turnsKiB = 2 // of memory, without segments
)

// A place is where the frames of one source wait.
type place struct {
	queue   Queue
	since   int64 // what was taken of all when it could send a segment; 0: never
	deficit int32 // bytes that it may still send in this turn
	shared  bool  // others without a place wait here, too
	listed  bool  // it is in fresh or later
	next    int8  // in the list; -1: none
}

// A turn is a list of places.
type turn struct{ first, last int8 }

var turns = sync.Pool{New: func() any { return new(Turns) }}

// NewTurns returns one that is empty.
func NewTurns() *Turns {
	t := turns.Get().(*Turns)
	t.seed = rand.Uint64()
	t.fresh, t.later, t.taken = turn{-1, -1}, turn{-1, -1}, 1
	return t
}

// Release gives back one that is empty.
func (t *Turns) Release() {
	*t = Turns{}
	turns.Put(t)
}

// placeOf returns where the frames of a source wait, or are to.
func (t *Turns) placeOf(source uint64) int8 {
	hi, lo := bits.Mul64(source^t.seed, 0x9e3779b97f4a7c15)
	first := int8((hi ^ lo) % turnPlaces)
	free := int8(-1)
	for n := range int8(turnPlaces) {
		i := (first + n) % turnPlaces
		waits := t.places[i].queue.Head != nil
		if waits && t.source[i] == source {
			return i
		}
		if !waits && free < 0 {
			free = i
		}
	}
	if free < 0 || t.places[first].shared && t.places[first].queue.Head != nil {
		t.places[first].shared = true
		return first
	}
	t.source[free], t.places[free].shared = source, false
	return free
}

// Append makes room for a frame of a source, as that of Queue does.
func (t *Turns) Append(source uint64, size int, now, span int64) []byte {
	frame := t.places[t.placeOf(source)].queue.Append(size, now, span)
	if frame != nil {
		t.Bytes += size
		t.Frames++
	}
	return frame
}

// Extend makes room for a frame of a source, as that of Queue does.
func (t *Turns) Extend(source uint64, size int, now, span int64) []byte {
	i := t.placeOf(source)
	p := &t.places[i]
	if !p.listed {
		t.list(p, i)
	}
	t.Bytes += size
	t.Frames++
	t.Held -= int(p.queue.Held)
	frame := p.queue.Extend(size, now, span)
	t.Held += int(p.queue.Held)
	return frame
}

// list gives a place that had nothing waiting its turn: before all others, if it has had
// less than its share since it could send a segment.
func (t *Turns) list(p *place, i int8) {
	p.listed = true
	t.listed++
	if t.taken-p.since >= int64(t.listed)*SegmentSize || p.since == 0 {
		p.deficit, p.since = SegmentSize, t.taken
	}
	if p.deficit > 0 {
		t.append(&t.fresh, i)
	} else {
		t.append(&t.later, i)
	}
}

func (t *Turns) append(l *turn, i int8) {
	t.places[i].next = -1
	if l.first < 0 {
		l.first = i
	} else {
		t.places[l.last].next = i
	}
	l.last = i
}

// Take removes the segment whose turn it is; nil if there is none.
func (t *Turns) Take() *Segment {
	for t.Frames > 0 {
		l := &t.fresh
		if l.first < 0 {
			l = &t.later
		}
		i := l.first
		p := &t.places[i]
		s := t.takeFrom(p)
		switch {
		case p.queue.Head == nil:
			l.first = p.next
			p.listed = false
			t.listed--
		case s == nil:
			l.first = p.next
			p.deficit += SegmentSize
			t.append(&t.later, i)
		}
		if s != nil {
			return s
		}
	}
	return nil
}

// takeFrom removes the segment at a place, if there is one and it may be sent.
func (t *Turns) takeFrom(p *place) *Segment {
	if p.queue.Head == nil || p.queue.Head.Size() > int(p.deficit) {
		return nil
	}
	s := p.queue.Take()
	p.deficit -= int32(s.Size())
	t.taken += int64(s.Size())
	t.took(s)
	return s
}

func (t *Turns) took(s *Segment) {
	t.Bytes -= s.Size()
	t.Frames -= s.Frames
	t.Held -= int(s.kib())
}

// Most returns how many bytes wait of the source that has most, and which place it has.
func (t *Turns) Most() (bytes, at int) {
	for i := range t.places {
		if n := int(t.places[i].queue.Bytes); n > bytes {
			bytes, at = n, i
		}
	}
	return bytes, at
}

// Of returns how many bytes of a source wait, or of those it shares a place with.
func (t *Turns) Of(source uint64) int { return int(t.places[t.placeOf(source)].queue.Bytes) }

// DropOldest forgets the oldest frame at a place that has one, and returns its size.
func (t *Turns) DropOldest(at int) (size int) {
	q := &t.places[at].queue
	t.Held -= int(q.Held)
	size = q.DropOldest()
	t.Held += int(q.Held)
	t.Bytes -= size
	t.Frames--
	return size
}

// TakeAt removes the oldest segment at a place that has one.
func (t *Turns) TakeAt(at int) *Segment {
	s := t.places[at].queue.Take()
	t.took(s)
	return s
}

// TakeOlder removes a segment whose newest frame was queued before a time; nil if
// there is none.
func (t *Turns) TakeOlder(than int64) *Segment {
	for i := range t.places {
		if s := t.places[i].queue.TakeOlder(than); s != nil {
			t.took(s)
			return s
		}
	}
	return nil
}
