package wheel

import (
	"sync"
	"sync/atomic"
)

// A List has what somebody is to look at with the next tick, each thing once, however
// often it is added. The zero value is empty.
type List[T any] struct {
	mu     sync.Mutex
	things []T // guarded by mu
}

// Add puts a thing on the list. listed is its own, and true while it is there.
func (l *List[T]) Add(thing T, listed *atomic.Bool) {
	if listed.Load() || listed.Swap(true) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.things = append(l.things, thing)
}

// Take empties the list. Whoever looks at a thing sets its listed to false before, so that
// it can be added again.
func (l *List[T]) Take() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	things := l.things
	l.things = nil
	return things
}
