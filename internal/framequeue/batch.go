package framequeue

// BatchSegments is how many segments one round of writing takes at most, and
// BatchBytes how many bytes before it takes no other one.
const (
	BatchSegments = 4
	BatchBytes    = BatchSegments * SegmentSize
)

// Kinds is how many kinds of packets a batch counts.
const Kinds = 2

// A Batch is what one round of writing takes. Its segments belong to the writer.
type Batch struct {
	Segments       [BatchSegments]*Segment
	N              int // segments
	Size           int // bytes of frames
	Packets, Bytes [Kinds]int
}

// Add takes a segment of control frames.
func (b *Batch) Add(s *Segment) {
	b.Segments[b.N] = s
	b.N++
	b.Size += s.Size()
}

// AddPackets takes a segment of packets of a kind, whose frames have so much besides.
func (b *Batch) AddPackets(s *Segment, kind, overhead int) {
	b.Add(s)
	b.Packets[kind] += s.Frames
	b.Bytes[kind] += s.Size() - s.Frames*overhead
}

// Release gives the segments back.
func (b *Batch) Release() {
	for _, s := range b.Segments[:b.N] {
		s.Release()
	}
	*b = Batch{}
}
