package framequeue

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/detour-relay/detour/derp"
)

// A queue is held against a list of frames, with sizes about those of segments.
func TestQueueIsAList(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 9))
	sizes := []int{0, 1, 100, 3000, SegmentSize - derp.HeaderLen - 1, SegmentSize - derp.HeaderLen,
		SegmentSize - derp.HeaderLen + 1, 2*derp.KeyLen + derp.MaxPacket}
	var q Queue
	var frames [][]byte
	total := 0
	for step := range 5000 {
		switch random.IntN(5) {
		case 0, 1, 2:
			frame := derp.AppendHeader(nil, derp.FrameSendPacket, sizes[random.IntN(len(sizes))])
			frame = append(frame, bytes.Repeat([]byte{byte(step)}, sizeOf(frame)-len(frame))...)
			copy(q.Extend(len(frame), int64(step), 20), frame)
			frames = append(frames, frame)
			total += len(frame)
		case 3:
			if len(frames) > 0 {
				if got := q.DropOldest(); got != len(frames[0]) {
					t.Fatalf("dropped %d bytes, want %d", got, len(frames[0]))
				}
				total -= len(frames[0])
				frames = frames[1:]
			}
		case 4:
			s := q.Take()
			if (s == nil) != (len(frames) == 0) {
				t.Fatalf("%d frames are left, but took %v", len(frames), s)
			}
			if s != nil {
				want := bytes.Join(frames[:s.Frames], nil)
				if s.Size() != len(want) || !bytes.Equal(s.Contents(), want) {
					t.Fatal("took other frames than were queued")
				}
				total -= len(want)
				frames = frames[s.Frames:]
				s.Release()
			}
		}
		if int(q.Frames) != len(frames) || int(q.Bytes) != total {
			t.Fatalf("%d frames of %d bytes, want %d of %d", q.Frames, q.Bytes, len(frames), total)
		}
	}
}

func sizeOf(header []byte) int {
	_, n := derp.ParseHeader(header)
	return derp.HeaderLen + n
}

func TestMiddleIsBetweenFirstAndLast(t *testing.T) {
	var q Queue
	for _, at := range []int64{100, 110, 140} {
		q.Extend(10, at, 0)
	}
	if got := q.Head.Middle(); got != 120 {
		t.Errorf("%d, want 120", got)
	}
}

func TestFramesApartInTimeAreApart(t *testing.T) {
	for _, c := range []struct {
		span     int64
		segments int
	}{{0, 1}, {9, 2}, {10, 1}} {
		var q Queue
		q.Extend(10, 100, c.span)
		q.Extend(10, 110, c.span)
		n := 0
		for s := q.Head; s != nil; s = s.Next() {
			n++
		}
		if n != c.segments {
			t.Errorf("span %d: %d segments, want %d", c.span, n, c.segments)
		}
	}
}
