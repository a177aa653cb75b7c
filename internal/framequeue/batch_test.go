package framequeue

import "testing"

// A batch counts what its segments hold, each kind by itself.
func TestBatchCounts(t *testing.T) {
	var q Queue
	var b Batch
	const overhead = 37
	for kind, frames := range []int{3, 5} {
		for n := range frames {
			q.Extend(overhead+100+n, 1, 0)
		}
		b.AddPackets(q.Take(), kind, overhead)
	}
	q.Extend(8, 1, 0)
	b.Add(q.Take())
	if b.N != 3 || b.Packets != [Kinds]int{3, 5} || b.Bytes != [Kinds]int{303, 510} || b.Size != 303+510+8*overhead+8 {
		t.Errorf("%+v", b)
	}
	if b.Release(); b != (Batch{}) {
		t.Errorf("%+v", b)
	}
}
