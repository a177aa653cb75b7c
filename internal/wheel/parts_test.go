package wheel

import (
	"slices"
	"testing"
	"time"
)

type partly struct {
	part  Part
	bytes int
	left  bool
}

func newParts() *Parts[*partly] {
	return &Parts[*partly]{
		Clock: NewClock(time.Hour, func() {}),
		Of:    func(p *partly) *Part { return &p.part },
		Held:  func(p *partly) (int, bool) { return p.bytes, !p.left },
	}
}

func TestPartsAreOverdue(t *testing.T) {
	parts := newParts()
	pass := func(ticks int, want ...*partly) {
		t.Helper()
		var got []*partly
		for range ticks {
			parts.Clock.count.Add(1)
			got = append(got, parts.Overdue(10, 0)...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d are overdue, want %d", len(got), len(want))
		}
	}
	stays, goesOn, completes, rests, leaves := new(partly), new(partly), new(partly), new(partly), new(partly)
	for _, p := range []*partly{stays, goesOn, completes, rests, leaves} {
		parts.Note(p, true, false)
	}
	pass(10)
	parts.Note(stays, true, false)
	parts.Note(goesOn, true, true)
	parts.Note(completes, false, false)
	if !parts.Pause(rests) || parts.Pause(completes) {
		t.Error("what was begun is not known when the time does not count")
	}
	leaves.left = true
	pass(1, stays)
	parts.Note(rests, true, false)
	pass(10, goesOn)
	pass(1, rests)
	pass(100)
}

func TestPartsHaveATotal(t *testing.T) {
	parts := newParts()
	var all []*partly
	for range 10 {
		p := &partly{bytes: 100}
		all = append(all, p)
		parts.Note(p, true, false)
	}
	slices.Reverse(all)
	for _, p := range all {
		parts.Note(p, true, true)
		parts.Clock.count.Add(1)
	}
	for range 10 { // they hold nothing any more
		gone := &partly{bytes: 100}
		parts.Note(gone, true, false)
		gone.left = true
	}
	if got := parts.Overdue(1000, 700); !slices.Equal(got, all[:3]) {
		t.Errorf("%d are given up, want the first 3", len(got))
	}
	if got := parts.Overdue(1000, 700); len(got) > 0 {
		t.Errorf("%d more are given up", len(got))
	}
}
