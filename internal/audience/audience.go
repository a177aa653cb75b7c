// Package audience remembers who has heard from whom, so that everybody who has
// heard from a source is told once when it leaves.
//
// A listener remembers the sources that it hears from as long as they are here,
// and of those that have left the last few, so that it is told once of one that
// comes back. A source remembers who is to be told. Both keep nothing alive: a
// listener is a number in a list, and a source a hash in a set without pointers.
// Who hears from a source before it is known to be here is awaited (early.go).
// To be told is a hint: what exceeds the bounds below is not remembered.
//
// Locks are taken in the order Heard · Listeners · Register or early, and nothing of the
// caller's runs under them.
package audience

import (
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// MaxHeard is how many sources one listener remembers at most.
	MaxHeard = 1024

	// maxPairs bounds all listeners together, each pair in some 24 bytes. The first
	// few of each listener do not count, so that nobody can use up the share of
	// others.
	maxPairs  = 1 << 18
	freeHeard = 16
)

// Heard are the sources that one listener has heard from. It is ready as it is.
type Heard struct {
	mu  sync.Mutex
	set *heardSet // guarded by mu; nil: none yet
}

type heardSet struct {
	id   number   // of the listener
	here hashSet  // those that are here
	told toldRing // those that have left, and the listener was told
}

// over is the set of a listener that has ended.
var over = new(heardSet)

// Len returns how many sources that are here are remembered.
func (h *Heard) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.set == nil {
		return 0
	}
	return h.set.here.n
}

// gone notes that a source has left. It reports whether the listener is to be
// told.
func (h *Heard) gone(hash uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.set == nil || !h.set.here.remove(hash) {
		return false
	}
	h.set.told.add(hash)
	return true
}

// Listeners are those to tell when one source leaves. It is ready as it is.
type Listeners struct {
	mu   sync.Mutex
	list *[]number // guarded by mu; nil: nobody. Some may have ended
}

// left is the list of a source that has left.
var left = new([]number)

// A number stands for a listener. It keeps no listener alive, so one that ends
// need not be taken out of all lists at once.
type number uint64

// A Register gives those listeners their numbers that hear from anybody.
type Register[T any] struct {
	heard func(*T) *Heard // set once
	pairs atomic.Int64    // how many sources all listeners remember
	early early

	mu    sync.Mutex
	slots []slot[T] // guarded by mu
	free  []uint32  // guarded by mu: slots without a listener
}

type slot[T any] struct {
	listener *T
	uses     uint32 // how many listeners had the slot before
}

// NewRegister returns a register of listeners that keep what they have heard where
// heard says.
func NewRegister[T any](heard func(*T) *Heard) *Register[T] { return &Register[T]{heard: heard} }

// Pairs returns how many sources all listeners together remember.
func (r *Register[T]) Pairs() int64 { return r.pairs.Load() }

// Note notes that a listener is about to hear from a source. The hash stands for
// the source, and its lowest bit is set.
func (r *Register[T]) Note(listener *T, source *Listeners, hash uint64) {
	h := r.heard(listener)
	h.mu.Lock()
	defer h.mu.Unlock()
	set := r.setLocked(h, listener)
	if set == over {
		return
	}
	if set.here.has(hash) || set.told.has(hash) || !r.hasRoom(set.here.n) {
		return
	}
	if r.join(source, set.id) {
		set.here.add(hash)
		r.pairs.Add(1)
	}
}

// setLocked returns the set of a listener, which has one from now on. h is locked.
func (r *Register[T]) setLocked(h *Heard, listener *T) *heardSet {
	if h.set == nil {
		h.set = &heardSet{id: r.add(listener)}
	}
	return h.set
}

func (r *Register[T]) hasRoom(heard int) bool {
	return heard < freeHeard || heard < MaxHeard && r.pairs.Load() < maxPairs
}

// join adds a listener that is not among those of a source. It is false if the
// source has left.
func (r *Register[T]) join(source *Listeners, id number) bool {
	source.mu.Lock()
	defer source.mu.Unlock()
	switch {
	case source.list == left:
		return false
	case source.list == nil:
		source.list = new([]number)
	case len(*source.list) == cap(*source.list):
		*source.list = r.present(*source.list)
	}
	*source.list = append(*source.list, id)
	return true
}

// Left dismisses the listeners of a source that has left, and returns those that
// are to be told.
func (r *Register[T]) Left(source *Listeners, hash uint64) []*T {
	source.mu.Lock()
	list := source.list
	source.list = left
	source.mu.Unlock()
	if list == nil || list == left {
		return nil
	}
	told := r.listeners(*list)
	told = slices.DeleteFunc(told, func(l *T) bool { return !r.heard(l).gone(hash) })
	r.pairs.Add(-int64(len(told)))
	return told
}

// End ends what a listener is told when it ends itself.
func (r *Register[T]) End(listener *T) {
	h := r.heard(listener)
	h.mu.Lock()
	set := h.set
	h.set = over
	h.mu.Unlock()
	if set != nil && set != over {
		r.pairs.Add(-int64(set.here.n))
		r.remove(set.id)
	}
}

func (r *Register[T]) add(listener *T) number {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.free) == 0 {
		r.free = append(r.free, uint32(len(r.slots)))
		r.slots = append(r.slots, slot[T]{})
	}
	at := r.free[len(r.free)-1]
	r.free = r.free[:len(r.free)-1]
	r.slots[at].listener = listener
	return number(r.slots[at].uses)<<32 | number(at)
}

func (r *Register[T]) remove(id number) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listenerLocked(id) != nil {
		at := uint32(id)
		r.slots[at] = slot[T]{uses: r.slots[at].uses + 1}
		r.free = append(r.free, at)
	}
}

// listenerLocked returns the listener with a number; nil if it has ended.
func (r *Register[T]) listenerLocked(id number) *T {
	if at := uint32(id); int(at) < len(r.slots) && r.slots[at].uses == uint32(id>>32) {
		return r.slots[at].listener
	}
	return nil
}

// listeners returns those of list that have not ended.
func (r *Register[T]) listeners(list []number) (found []*T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range list {
		if l := r.listenerLocked(id); l != nil {
			found = append(found, l)
		}
	}
	return found
}

// present drops those from list that have ended.
func (r *Register[T]) present(list []number) []number {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := list[:0]
	for _, id := range list {
		if r.listenerLocked(id) != nil {
			kept = append(kept, id)
		}
	}
	if 4*len(kept) < cap(kept) {
		return slices.Clone(kept)
	}
	return kept
}
