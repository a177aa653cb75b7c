package audience

import (
	"slices"
	"sync"
	"sync/atomic"
)

// maxEarly bounds those that are awaited, some 60 bytes each.
const maxEarly = 1024

// early are listeners that have heard from sources that are not known yet: two relays
// tell each other of sources by one connection and send packets by another, so a packet
// may overtake the word that its sender is there.
type early struct {
	n atomic.Int64 // how many; read without mu to pass by where there are none

	mu        sync.Mutex
	listeners map[uint64][]number // guarded by mu: by hash of the source
}

// Await notes that a listener is about to hear from a source that is not known. When it
// comes, the listener is noted. Of more than a thousand, all that came before are
// forgotten.
func (r *Register[T]) Await(listener *T, hash uint64) {
	h := r.heard(listener)
	h.mu.Lock()
	defer h.mu.Unlock()
	if set := r.setLocked(h, listener); set != over {
		r.early.add(hash, set.id)
	}
}

// Came notes those that have heard from a source before it was known. Whoever makes a
// source known calls it, after others can find the source; who awaits one looks for it
// once more after Await, so that nobody is missed.
func (r *Register[T]) Came(source *Listeners, hash uint64) {
	for _, l := range r.listeners(r.early.take(hash)) {
		r.Note(l, source, hash)
	}
}

func (e *early) add(hash uint64, id number) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.listeners == nil || e.n.Load() >= maxEarly {
		e.listeners = make(map[uint64][]number)
		e.n.Store(0)
	}
	if ids := e.listeners[hash]; !slices.Contains(ids, id) {
		e.listeners[hash] = append(ids, id)
		e.n.Add(1)
	}
}

func (e *early) take(hash uint64) []number {
	if e.n.Load() == 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	ids := e.listeners[hash]
	delete(e.listeners, hash)
	e.n.Add(int64(-len(ids)))
	return ids
}
