package wheel

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// A Part is what one thing has begun and not completed.
type Part struct {
	since  atomic.Uint32 // the tick at which it was begun, or went on; 0: nothing is
	listed atomic.Bool
}

// Parts looks after things that begin something, so that what is not completed is given
// up. One goroutine at a time notes what a thing does, any asks for what is overdue.
type Parts[T any] struct {
	Clock *Clock
	Of    func(T) *Part
	Held  func(T) (bytes int, here bool) // of what it has begun; not here: nobody cares any more

	list List[T]
}

// Note notes whether something is incomplete, and whether that is another one than before:
// its time begins anew.
func (p *Parts[T]) Note(thing T, incomplete, another bool) {
	part := p.Of(thing)
	switch begun := part.since.Load() != 0; {
	case !incomplete && begun:
		part.since.Store(0)
	case incomplete && (another || !begun):
		part.since.Store(p.Clock.Now())
		p.list.Add(thing, &part.listed)
	}
}

// Pause has the time not count until something is noted again. It reports whether
// anything is incomplete.
func (p *Parts[T]) Pause(thing T) bool { return p.Of(thing).since.Swap(0) != 0 }

// Overdue returns the things whose part is older than so many ticks; and while all parts
// together hold more than most bytes (0: no matter), those that are oldest.
func (p *Parts[T]) Overdue(ticks uint32, most int) (overdue []T) {
	held := 0
	begun := slices.DeleteFunc(p.list.Take(), func(t T) bool {
		p.Of(t).listed.Store(false)
		bytes, here := p.Held(t)
		if !here || p.Of(t).since.Load() == 0 {
			return true
		}
		held += bytes
		return false
	})
	if most > 0 && held > most {
		slices.SortFunc(begun, func(a, b T) int { return cmp.Compare(p.Of(a).since.Load(), p.Of(b).since.Load()) })
	}
	for _, t := range begun {
		switch since := p.Of(t).since.Load(); {
		case since == 0:
		case most > 0 && held > most, p.Clock.Now()-since > ticks:
			bytes, _ := p.Held(t)
			held -= bytes
			overdue = append(overdue, t)
		default:
			p.list.Add(t, &p.Of(t).listed)
		}
	}
	return overdue
}
