package wheel

import (
	"slices"
	"sync/atomic"
)

// A List has what somebody is to look at with the next tick, each thing once, however
// often it is added. Who adds never waits for another who does. The zero value is empty.
type List[T any] struct {
	last atomic.Pointer[entry[T]]
}

type entry[T any] struct {
	thing  T
	before *entry[T]
}

// Add puts a thing on the list. listed is its own, and true while it is there.
func (l *List[T]) Add(thing T, listed *atomic.Bool) {
	if listed.Load() || listed.Swap(true) {
		return
	}
	e := &entry[T]{thing: thing, before: l.last.Load()}
	for !l.last.CompareAndSwap(e.before, e) {
		e.before = l.last.Load()
	}
}

// Take empties the list and returns the things in the order in which they came. Whoever
// looks at a thing sets its listed to false before, so that it can be added again.
func (l *List[T]) Take() (things []T) {
	for e := l.last.Swap(nil); e != nil; e = e.before {
		things = append(things, e.thing)
	}
	slices.Reverse(things)
	return things
}
