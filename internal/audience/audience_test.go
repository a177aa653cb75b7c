package audience

import (
	"math/rand/v2"
	"testing"
)

type listener struct{ heard Heard }

func newRegister() *Register[listener] {
	return NewRegister(func(l *listener) *Heard { return &l.heard })
}

// hash returns a different hash for each n.
func hash(n int) uint64 { return uint64(n)*0x9e3779b97f4a7c15<<1 | 1 }

func TestListenersAreToldOnce(t *testing.T) {
	r := newRegister()
	a, b, stranger := new(listener), new(listener), new(listener)
	var source Listeners
	for range 3 {
		r.Note(a, &source, hash(1))
		r.Note(b, &source, hash(1))
	}
	r.Note(stranger, new(Listeners), hash(2))
	if told := r.Left(&source, hash(1)); len(told) != 2 || told[0] != a || told[1] != b {
		t.Errorf("told %v", told)
	}
	if told := r.Left(&source, hash(1)); told != nil {
		t.Errorf("told %v again", told)
	}
	r.Note(a, &source, hash(1)) // on its way when the source left
	var back Listeners          // the same source again: it was told of, and is not any more
	r.Note(a, &back, hash(1))
	if told := r.Left(&back, hash(1)); len(told) != 0 {
		t.Errorf("told %v of a source that came back", told)
	}
	if r.Pairs() != 1 {
		t.Errorf("%d pairs, want that of the stranger", r.Pairs())
	}
}

// Who hears from a source before it is known is told like the others.
func TestListenersMayHearEarly(t *testing.T) {
	r := newRegister()
	a, b, gone := new(listener), new(listener), new(listener)
	var source, other Listeners
	for range 3 {
		r.Await(a, hash(1))
		r.Await(b, hash(1))
		r.Await(gone, hash(1))
	}
	r.End(gone)
	r.Await(gone, hash(1))
	r.Came(&other, hash(2))
	r.Came(&source, hash(1))
	r.Note(b, &source, hash(1))
	if n := r.early.n.Load(); n != 0 {
		t.Errorf("%d are still awaited", n)
	}
	if told := r.Left(&other, hash(2)); told != nil {
		t.Errorf("told %v of another source", told)
	}
	if told := r.Left(&source, hash(1)); len(told) != 2 || told[0] != a || told[1] != b {
		t.Errorf("told %v", told)
	}
}

// Sources that never come take a bounded room, and none from those that do.
func TestThoseAwaitedAreBounded(t *testing.T) {
	r := newRegister()
	l := new(listener)
	for n := range 5 * maxEarly {
		r.Await(l, hash(n))
		if most := int64(len(r.early.listeners)); most > maxEarly || most != r.early.n.Load() {
			t.Fatalf("%d are awaited, counted as %d", most, r.early.n.Load())
		}
	}
	var source Listeners
	r.Await(l, hash(-1))
	r.Came(&source, hash(-1))
	if told := r.Left(&source, hash(-1)); len(told) != 1 {
		t.Errorf("told %v of the last", told)
	}
}

func TestListenersThatEndAreNotTold(t *testing.T) {
	r := newRegister()
	a, b := new(listener), new(listener)
	var source Listeners
	r.Note(a, &source, hash(1))
	r.Note(b, &source, hash(1))
	r.End(a)
	r.End(a) // again has no effect
	r.Note(a, &source, hash(1))
	if told := r.Left(&source, hash(1)); len(told) != 1 || told[0] != b {
		t.Errorf("told %v", told)
	}
	if r.Pairs() != 0 {
		t.Errorf("%d pairs are left", r.Pairs())
	}
}

func TestEachListenerIsBounded(t *testing.T) {
	r := newRegister()
	l := new(listener)
	for n := range 3 * MaxHeard {
		r.Note(l, new(Listeners), hash(n))
	}
	if here := l.heard.set.here; l.heard.Len() != MaxHeard || len(here.slots) > 2*MaxHeard {
		t.Errorf("%d sources in %d slots", here.n, len(here.slots))
	}
}

// The bound of all pairs leaves every listener its first few.
func TestAllListenersAreBounded(t *testing.T) {
	r := newRegister()
	r.pairs.Store(maxPairs)
	l := new(listener)
	for n := range 3 * freeHeard {
		r.Note(l, new(Listeners), hash(n))
	}
	if n := l.heard.Len(); n != freeHeard {
		t.Errorf("%d sources are remembered, want %d", n, freeHeard)
	}
}

// A source keeps no room for listeners that have ended.
func TestListenersThatEndAreForgotten(t *testing.T) {
	r := newRegister()
	var source Listeners
	for range 20_000 {
		l := new(listener)
		r.Note(l, &source, hash(1))
		r.End(l)
	}
	if n := cap(*source.list); n > 16 || len(r.slots) > 2 {
		t.Errorf("room for %d listeners that ended, %d numbers", n, len(r.slots))
	}
}

// Numbers are held against the listeners they were given to, across many uses of a
// slot.
func TestNumbersLeadToTheirListeners(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 7))
	r := newRegister()
	ids := map[number]*listener{}
	var gone []number
	for range 20_000 {
		if random.IntN(2) == 0 && len(ids) < 50 {
			l := new(listener)
			id := r.add(l)
			if ids[id] != nil {
				t.Fatal("a number is given twice")
			}
			ids[id] = l
		}
		for id, l := range ids {
			if got := r.listeners([]number{id}); len(got) != 1 || got[0] != l {
				t.Fatal("a number leads to another listener")
			}
			if random.IntN(50) == 0 {
				r.remove(id)
				r.remove(id) // again has no effect
				delete(ids, id)
				gone = append(gone, id)
			}
			break
		}
		if len(gone) > 100 {
			gone = gone[len(gone)-100:]
		}
		if len(r.listeners(gone)) != 0 || len(r.present(append([]number{}, gone...))) != 0 {
			t.Fatal("a listener that has ended is found")
		}
	}
	if len(r.slots) > 50 {
		t.Errorf("%d slots for 50 listeners", len(r.slots))
	}
}
