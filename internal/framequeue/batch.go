package framequeue

// BatchSegments is how many segments one round of writing takes at most, and
// BatchBytes how many bytes before it takes no other one.
const (
	BatchSegments = 4
	BatchBytes    = BatchSegments * SegmentSize
)

// The kinds of packets, each of which a batch counts by itself.
const (
	Disco = iota // those of NAT traversal, which go first
	Data

	Kinds
)

// A Batch is what one round of writing takes. Its segments belong to the writer.
type Batch struct {
	Segments       [BatchSegments]*Segment
	N              int // segments
	Controls       int // of these, those in front, of control frames
	Size           int // bytes of frames
	Packets, Bytes [Kinds]int

	Taken  int64 // when the packets were taken, in nanoseconds
	Waited int64 // how long they have waited by then, all together
}

// AddControls takes a segment of control frames, before any of packets.
func (b *Batch) AddControls(s *Segment) {
	b.add(s)
	b.Controls++
}

// AddPackets takes a segment of packets of a kind, whose frames have so much besides.
func (b *Batch) AddPackets(s *Segment, kind, overhead int, now int64) {
	b.add(s)
	b.Packets[kind] += s.Frames
	b.Bytes[kind] += s.Size() - s.Frames*overhead
	b.Taken = now
	b.Waited += int64(s.Frames) * (now - s.Middle())
}

func (b *Batch) add(s *Segment) {
	b.Segments[b.N] = s
	b.N++
	b.Size += s.Size()
}

// ControlFrames returns how many frames are no packets.
func (b *Batch) ControlFrames() (frames int) {
	for _, s := range b.Segments[:b.Controls] {
		frames += s.Frames
	}
	return frames
}

// Release gives the segments back.
func (b *Batch) Release() {
	for _, s := range b.Segments[:b.N] {
		s.Release()
	}
	*b = Batch{}
}
