package framequeue

import "testing"

// A batch counts what its segments hold, each kind by itself.
func TestBatchCounts(t *testing.T) {
	var q Queue
	var b Batch
	var packets []*Segment
	const overhead = 37
	for _, frames := range []int{3, 5} {
		for n := range frames {
			q.Extend(overhead+100+n, 1, 0)
		}
		packets = append(packets, q.Take())
	}
	q.Extend(8, 1, 0)
	b.AddControls(q.Take())
	for kind, s := range packets {
		b.AddPackets(s, kind, overhead, 101)
	}
	if b.N != 3 || b.Controls != 1 || b.ControlFrames() != 1 || b.Taken != 101 || b.Waited != 8*100 || b.Packets != [Kinds]int{3, 5} || b.Bytes != [Kinds]int{303, 510} || b.Size != 303+510+8*overhead+8 {
		t.Errorf("%+v", b)
	}
	if b.Release(); b != (Batch{}) {
		t.Errorf("%+v", b)
	}
}
