// Package wheel is a timer wheel for very many things that each are to be looked
// at again and again, some ticks apart, and the clock that turns it. The place of a
// thing in the wheel is a part of the thing, so nothing is allocated for it, and a
// tick costs what is due at it.
package wheel

import (
	"math/rand/v2"
	"sync"
)

const slots = 256

// Farthest is how many ticks ahead a thing may wait: less than a turn of the
// wheel.
const Farthest = slots - 2

// A Wheel has the things that wait. They wait in slots, and each tick is the turn
// of one.
type Wheel[T any] struct {
	entry func(*T) *Entry[T] // set once
	ahead func(*T) int       // set once

	mu    sync.Mutex
	slots [slots]*T // guarded by mu: lists of things
	now   uint32    // guarded by mu: the number of the current tick
}

// An Entry is the place of one thing, which is not in the wheel at first.
type Entry[T any] struct {
	next, prev *T     // guarded by Wheel.mu
	at         uint32 // guarded by Wheel.mu: the tick of its turn; 0: it is not in the wheel
}

// New returns an empty wheel of things that have their entries where entry says.
// It asks ahead, under its lock, after how many ticks a thing is due: 0 to
// Farthest.
func New[T any](entry func(*T) *Entry[T], ahead func(*T) int) *Wheel[T] {
	return &Wheel[T]{entry: entry, ahead: ahead, now: 1}
}

// Turn begins the next tick.
func (w *Wheel[T]) Turn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now++
}

// Due moves one thing of the current tick to its next turn and returns it; nil if
// there is none left.
func (w *Wheel[T]) Due() *T {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.slots[w.now%slots]
	if t != nil {
		w.unlinkLocked(t)
		w.linkLocked(t, w.ahead(t))
	}
	return t
}

// Add puts in a thing that is not in the wheel.
func (w *Wheel[T]) Add(t *T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.linkLocked(t, w.ahead(t))
}

// Remove takes a thing out, if it is in.
func (w *Wheel[T]) Remove(t *T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlinkLocked(t)
}

// Len counts the things that are in.
func (w *Wheel[T]) Len() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.slots {
		for ; t != nil; t = w.entry(t).next {
			n++
		}
	}
	return n
}

// Hasten moves a thing that is in to a turn by chance, no later than ahead has it now:
// what was told in one moment that it waits for another time does not stay together.
func (w *Wheel[T]) Hasten(t *T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.entry(t).at != 0 {
		w.unlinkLocked(t)
		w.linkLocked(t, rand.IntN(w.ahead(t)+1))
	}
}

func (w *Wheel[T]) linkLocked(t *T, ahead int) {
	at := w.now + 1 + uint32(ahead) // the current tick has begun already, so it does not count
	head := w.slots[at%slots]
	*w.entry(t) = Entry[T]{next: head, at: at}
	if head != nil {
		w.entry(head).prev = t
	}
	w.slots[at%slots] = t
}

func (w *Wheel[T]) unlinkLocked(t *T) {
	e := w.entry(t)
	if e.at == 0 {
		return
	}
	if e.prev != nil {
		w.entry(e.prev).next = e.next
	} else {
		w.slots[e.at%slots] = e.next
	}
	if e.next != nil {
		w.entry(e.next).prev = e.prev
	}
	*e = Entry[T]{}
}
