package budget

import "testing"

type owner struct{ closed int }

func (o *owner) Close() error {
	o.closed++
	return nil
}

func TestTheOldestGivesWay(t *testing.T) {
	b := New(100)
	var owners [3]owner
	var shares [3]*Share
	for i := range owners {
		shares[i] = b.Share(&owners[i])
	}
	for _, step := range []struct {
		share, size int
		ok          bool
		closed      [3]int
	}{
		{1, 50, true, [3]int{}},
		{0, 30, true, [3]int{}},
		{2, 20, true, [3]int{}},
		{1, 40, true, [3]int{}},
		{0, 40, true, [3]int{}},          // all of it
		{0, 41, true, [3]int{0, 1, 0}},   // 1 came first
		{1, 1, false, [3]int{0, 1, 0}},   // and is out
		{0, 90, false, [3]int{1, 1, 0}},  // now the oldest itself
		{2, 100, true, [3]int{1, 1, 0}},  // nobody else
		{2, 101, false, [3]int{1, 1, 1}}, // more than there is
		{2, 100, false, [3]int{1, 1, 1}}, // too late
	} {
		if ok := shares[step.share].Resize(step.size); ok != step.ok {
			t.Errorf("%+v: %v", step, ok)
		}
		for i, o := range owners {
			if o.closed != step.closed[i] {
				t.Errorf("%+v: owner %d closed %d times", step, i, o.closed)
			}
		}
	}
	for i, s := range shares {
		if !s.Release() {
			t.Errorf("owner %d does not know that it gave way", i)
		}
	}
	if b.used != 0 || b.large.Len() != 0 {
		t.Errorf("%d bytes of %d shares are left", b.used, b.large.Len())
	}
}

func TestSharesAreGivenBack(t *testing.T) {
	b := New(100)
	for range 10 {
		o := new(owner)
		s := b.Share(o)
		if !s.Resize(60) || s.Release() || s.Release() || o.closed != 0 {
			t.Fatal("gave way for nobody")
		}
	}
}
