package framequeue

// A Fair is a queue that gives each of its sources a fair share (docs/decisions/0025).
// While little waits, or only one source sends, all frames are in one queue. As soon as
// several do and more than a segment waits, new frames are queued by source ([Turns]),
// behind the others, until nothing waits. It is ready as it is.
type Fair struct {
	One   Queue  // read only for others: what is not queued by source
	turns *Turns // nil: none are needed
}

// Bytes returns how many bytes wait.
func (f *Fair) Bytes() int {
	if f.turns == nil {
		return int(f.One.Bytes)
	}
	return int(f.One.Bytes) + f.turns.Bytes
}

// Frames returns how many frames wait.
func (f *Fair) Frames() int {
	if f.turns == nil {
		return int(f.One.Frames)
	}
	return int(f.One.Frames) + f.turns.Frames
}

// Held returns how many KiB of memory there are in it.
func (f *Fair) Held() int {
	if f.turns == nil {
		return int(f.One.Held)
	}
	return int(f.One.Held) + f.turns.Held + turnsKiB
}

// Empty reports whether nothing waits.
func (f *Fair) Empty() bool { return f.One.Head == nil && f.turns == nil }

// Shared reports whether frames are queued by source now.
func (f *Fair) Shared() bool { return f.turns != nil }

// DropFor forgets the oldest frame of who has most waiting, of which there must be one,
// to make room for one of size bytes of a source. It returns the size of what it
// dropped, and whether the lack of room is the source's own fault: it has not much less
// waiting than that one.
func (f *Fair) DropFor(source uint64, size int) (dropped int, own bool) {
	f.note(source, size)
	at, own := f.mostBut(source)
	if at < 0 {
		return f.One.DropOldest(), own
	}
	return f.turns.DropOldest(at), own
}

// TakeFor removes the oldest segment of who has most waiting, for that of a source, as
// DropFor does; nil if nothing waits.
func (f *Fair) TakeFor(source uint64) (s *Segment, own bool) {
	at, own := f.mostBut(source)
	if at < 0 {
		return f.One.Take(), own
	}
	s = f.turns.TakeAt(at)
	f.leave()
	return s, own
}

// mostBut returns the place of who has most waiting, -1 for One, and whether a source
// has not much less.
func (f *Fair) mostBut(source uint64) (at int, own bool) {
	if f.turns == nil {
		return -1, true
	}
	most, at := f.turns.Most()
	own = 2*f.turns.Of(source) >= most
	if int(f.One.Bytes) >= most {
		at = -1
	}
	return at, own
}

// Append makes room for a frame of a source, as that of Queue does.
func (f *Fair) Append(source uint64, size int, now, span int64) []byte {
	f.note(source, size)
	if f.turns != nil {
		return f.turns.Append(source, size, now, span)
	}
	return f.One.Append(size, now, span)
}

// Extend makes room for a frame of a source, as that of Queue does.
func (f *Fair) Extend(source uint64, size int, now, span int64) []byte {
	f.note(source, size)
	if f.turns != nil {
		return f.turns.Extend(source, size, now, span)
	}
	return f.One.Extend(size, now, span)
}

// Take removes the segment that is next; nil if the queue is empty.
func (f *Fair) Take() *Segment {
	if s := f.One.Take(); s != nil || f.turns == nil {
		return s
	}
	s := f.turns.Take()
	f.leave()
	return s
}

// TakeOlder removes a segment whose newest frame was queued before a time; nil if
// there is none.
func (f *Fair) TakeOlder(than int64) *Segment {
	if s := f.One.TakeOlder(than); s != nil || f.turns == nil {
		return s
	}
	s := f.turns.TakeOlder(than)
	f.leave()
	return s
}

// note has turns from now on if a frame of this source makes them necessary.
func (f *Fair) note(source uint64, size int) {
	switch {
	case f.turns != nil:
		return
	case f.One.Head == nil:
		f.One.source = uint32(source) | 1
	case f.One.source != uint32(source)|1:
		f.One.source = 0 // not from one alone
	}
	if f.One.source == 0 && int(f.One.Bytes)+size > SegmentSize {
		f.turns = NewTurns()
	}
}

// leave goes back to one queue when nothing waits by source any more.
func (f *Fair) leave() {
	if f.turns != nil && f.turns.Frames == 0 {
		f.turns.Release()
		f.turns = nil
	}
}
