package relay

import (
	"sync"

	"github.com/detour-relay/detour/derp"
)

// segmentSize is the payload of a full TLS record, so that writing a segment
// makes exactly one record.
const segmentSize = 16 << 10

// A segment is a run of finished frames that leaves in one piece. A frame never
// spans segments; one larger than segmentSize has a segment of its own size.
type segment struct {
	next       *segment
	start, end int // buf[start:end] are the frames
	frames     int
	oldest     int64 // when the first frame was queued
	newest     int64 // and when the last was
	buf        []byte
}

var (
	segments = sync.Pool{New: func() any {
		return &segment{buf: make([]byte, segmentSize)}
	}}
	largeSegments = sync.Pool{New: func() any {
		return &segment{buf: make([]byte, derp.HeaderLen+2*derp.KeyLen+derp.MaxPacket)}
	}}
)

func newSegment(size int) *segment {
	if size > segmentSize {
		return largeSegments.Get().(*segment)
	}
	return segments.Get().(*segment)
}

func (s *segment) release() {
	large := len(s.buf) > segmentSize
	*s = segment{buf: s.buf}
	if large {
		largeSegments.Put(s)
		return
	}
	segments.Put(s)
}

func (s *segment) size() int { return s.end - s.start }

// A queue is a list of segments: frames are added at the tail and leave from
// the head, by the segment or, to be dropped, one by one.
type queue struct {
	head, tail *segment
	bytes      int
	frames     int
}

// extend makes room for a frame of size bytes at the tail, for the caller to
// fill before anything else happens to the queue. Frames queued more than span
// nanoseconds apart do not share a segment, unless span is 0.
func (q *queue) extend(size int, now, span int64) []byte {
	s := q.tail
	if s == nil || s.end+size > len(s.buf) || span > 0 && now-s.oldest > span {
		s = newSegment(size)
		s.oldest = now
		if q.tail == nil {
			q.head = s
		} else {
			q.tail.next = s
		}
		q.tail = s
	}
	frame := s.buf[s.end : s.end+size]
	s.end += size
	s.frames++
	s.newest = now
	q.bytes += size
	q.frames++
	return frame
}

// dropOldest forgets the frame at the head, of which there must be one, and
// returns its size.
func (q *queue) dropOldest() (size int) {
	s := q.head
	_, payload := derp.ParseHeader(s.buf[s.start:])
	size = derp.HeaderLen + payload
	s.start += size
	s.frames--
	q.bytes -= size
	q.frames--
	if s.frames == 0 {
		q.takeSegment().release()
	}
	return size
}

// takeSegment removes the segment at the head; nil if the queue is empty.
func (q *queue) takeSegment() *segment {
	s := q.head
	if s == nil {
		return nil
	}
	q.head = s.next
	if q.head == nil {
		q.tail = nil
	}
	s.next = nil
	q.bytes -= s.size()
	q.frames -= s.frames
	return s
}
