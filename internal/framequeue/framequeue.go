// Package framequeue queues finished DERP frames back to back in pooled segments,
// each to be written in one piece, so that queueing a frame is one copy and
// allocates nothing. One goroutine at a time uses a queue; every packet passes here.
package framequeue

import (
	"sync"

	"github.com/detour-relay/detour/derp"
)

// SegmentSize is the payload of a full TLS record, so that writing a segment
// makes exactly one record.
const SegmentSize = 16 << 10

// A Segment is a run of finished frames that leaves in one piece. A frame never
// spans segments; one larger than SegmentSize has a segment of its own size.
type Segment struct {
	// Of the queue; read only for others.
	Frames int
	Newest int64 // when the last frame was queued

	next       *Segment
	start, end int   // buf[start:end] are the frames
	oldest     int64 // when the first frame was queued
	buf        []byte
}

// largeSize holds the largest frame of a packet.
const largeSize = derp.HeaderLen + 2*derp.KeyLen + derp.MaxPacket

var (
	segments = sync.Pool{New: func() any {
		return &Segment{buf: make([]byte, SegmentSize)}
	}}
	largeSegments = sync.Pool{New: func() any {
		return &Segment{buf: make([]byte, largeSize)}
	}}
)

func newSegment(size int) *Segment {
	if size > SegmentSize {
		return largeSegments.Get().(*Segment)
	}
	return segments.Get().(*Segment)
}

// Release gives back a segment that was taken.
func (s *Segment) Release() {
	large := len(s.buf) > SegmentSize
	*s = Segment{buf: s.buf}
	if large {
		largeSegments.Put(s)
		return
	}
	segments.Put(s)
}

// Contents are the frames, the segment's until Release.
func (s *Segment) Contents() []byte { return s.buf[s.start:s.end] }

// Size returns how many bytes Contents has.
func (s *Segment) Size() int { return s.end - s.start }

// Middle is when its frames were queued, on the whole: none is further from it than
// half of the time from the first to the last.
func (s *Segment) Middle() int64 { return s.oldest + (s.Newest-s.oldest)/2 }

// Next returns the segment behind s in its queue; nil if it is the last.
func (s *Segment) Next() *Segment { return s.next }

// kib is how much memory the segment is.
func (s *Segment) kib() int32 { return int32(kibFor(len(s.buf))) }

// kibFor is how much a buffer of so many bytes is: whole pages of 8 KiB.
func kibFor(bytes int) int { return (bytes + 8191) >> 13 << 3 }

// A Queue is a list of segments: frames are added at the tail and leave from
// the head, by the segment or, to be dropped, one by one. It is ready as it is.
type Queue struct {
	// Read only for others.
	Head, Tail *Segment // nil: the queue is empty
	Bytes      int32    // of frames
	Frames     int32
	Held       int32 // KiB of memory

	source uint32 // of a Fair: whose these are; 0: not of one alone
}

// Append makes room for a frame of size bytes in the segment at the tail, for the
// caller to fill before anything else happens to the queue; nil if it does not fit in
// there. Frames queued more than span nanoseconds apart do not share a segment, unless
// span is 0.
func (q *Queue) Append(size int, now, span int64) []byte {
	s := q.Tail
	if s == nil || s.end+size > len(s.buf) || span > 0 && now-s.oldest > span {
		return nil
	}
	frame := s.buf[s.end : s.end+size]
	s.end += size
	s.Frames++
	s.Newest = now
	q.Bytes += int32(size)
	q.Frames++
	return frame
}

// Extend is Append, in another segment if need be.
func (q *Queue) Extend(size int, now, span int64) []byte {
	if frame := q.Append(size, now, span); frame != nil {
		return frame
	}
	s := newSegment(size)
	s.oldest = now
	if q.Tail == nil {
		q.Head = s
	} else {
		q.Tail.next = s
	}
	q.Tail = s
	q.Held += s.kib()
	return q.Append(size, now, 0)
}

// DropOldest forgets the frame at the head, of which there must be one, and
// returns its size.
func (q *Queue) DropOldest() (size int) {
	s := q.Head
	_, payload := derp.ParseHeader(s.buf[s.start:])
	size = derp.HeaderLen + payload
	s.start += size
	s.Frames--
	q.Bytes -= int32(size)
	q.Frames--
	if s.Frames == 0 {
		q.Take().Release()
	}
	return size
}

// Take removes the segment at the head; nil if the queue is empty.
func (q *Queue) Take() *Segment {
	s := q.Head
	if s == nil {
		return nil
	}
	q.Head = s.next
	if q.Head == nil {
		q.Tail = nil
	}
	s.next = nil
	q.Bytes -= int32(s.Size())
	q.Frames -= int32(s.Frames)
	q.Held -= s.kib()
	return s
}

// TakeOlder removes the segment at the head if its newest frame was queued before a
// time; nil if it was not, or there is none.
func (q *Queue) TakeOlder(than int64) *Segment {
	if q.Head == nil || q.Head.Newest >= than {
		return nil
	}
	return q.Take()
}
