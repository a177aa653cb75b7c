// Package keytable is a hash table of things that have a public key, with open
// addressing. Readers probe it without a lock: a slot that has been taken is never
// empty again, so no probe ends too early. It is at most half full, because a probe
// that misses costs a cache line.
//
// The slots point to the caller's own things, and he compares keys himself, so that a
// lookup costs one cache line of the table and one of what it finds:
//
//	for slots, i := t.Probe(k); ; i++ {
//		if e := slots.At(i); e == nil || keytable.Same(&e.key, k) && e != removed {
//			return e
//		}
//	}
//
// Whoever changes a table holds a lock of his own meanwhile.
package keytable

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"

	"github.com/detour-relay/detour/key"
)

// A Table is a set of T, each with a key that no other has and that never changes.
type Table[T any] struct {
	seed    [2]uint64
	slots   atomic.Pointer[Slots[T]] // replaced when it fills up
	key     func(*T) *key.Public
	removed *T // marks a slot whose entry has left

	known atomic.Int64
	taken int // the caller's lock: slots that are not empty
}

const (
	fewest = 256
	space  = 2 // slots for each entry, at least
)

// New returns an empty table of what has its key where of says. Probes come upon removed
// in place of what has left; it is in no table.
func New[T any](of func(*T) *key.Public, removed *T) *Table[T] {
	t := &Table[T]{seed: [2]uint64{rand.Uint64(), rand.Uint64()}, key: of, removed: removed}
	t.slots.Store(new(make(Slots[T], fewest)))
	return t
}

// Hash returns the hash of k in this table. Public keys are as good as random and
// cannot be chosen, only searched for, so two words of them are enough; the seed keeps
// peers from searching for keys that collide.
func (t *Table[T]) Hash(k *key.Public) uint64 {
	le := binary.LittleEndian
	hi, lo := bits.Mul64(le.Uint64(k[0:])^t.seed[0], le.Uint64(k[8:])^t.seed[1])
	return hi ^ lo
}

// Len returns how many entries there are.
func (t *Table[T]) Len() int { return int(t.known.Load()) }

// Slots are those of a table for a while: a power of two.
type Slots[T any] []atomic.Pointer[T]

// Probe returns where a search for k begins. It goes on to the next slot until it has
// found k or an empty one. A value for the slots and one for the place stay in registers.
func (t *Table[T]) Probe(k *key.Public) (in Slots[T], first uint64) {
	return *t.slots.Load(), t.Hash(k)
}

// At returns what is in a slot: an entry of any key, or what marks one that has left; nil
// if it is empty. They are numbered without end.
func (s Slots[T]) At(i uint64) *T { return s.at(i).Load() }

func (s Slots[T]) at(i uint64) *atomic.Pointer[T] { return &s[i&uint64(len(s)-1)] }

// Insert adds an entry whose key is not in the table.
func (t *Table[T]) Insert(e *T) {
	if (t.taken+1)*space > len(*t.slots.Load()) {
		t.grow()
	}
	t.known.Add(1)
	t.put(*t.slots.Load(), e)
}

// put stores an entry in the first empty slot of its probe.
func (t *Table[T]) put(into Slots[T], e *T) {
	for i := t.Hash(t.key(e)); ; i++ {
		if slot := into.at(i); slot.Load() == nil {
			slot.Store(e)
			t.taken++
			return
		}
	}
}

// grow moves the entries to slots for twice as many. Readers of the old ones find what
// they look for until they load the new ones.
func (t *Table[T]) grow() {
	n := fewest
	for n < 2*space*(t.Len()+1) {
		n *= 2
	}
	fresh := make(Slots[T], n)
	t.taken = 0
	t.Each(func(e *T) { t.put(fresh, e) })
	t.slots.Store(&fresh)
}

// Delete takes an entry out, if it is in the table.
func (t *Table[T]) Delete(e *T) {
	for slots, i := t.Probe(t.key(e)); ; i++ {
		slot := slots.at(i)
		if at := slot.Load(); at == e {
			slot.Store(t.removed)
			t.known.Add(-1)
			return
		} else if at == nil {
			return
		}
	}
}

// Each calls f for every entry.
func (t *Table[T]) Each(f func(*T)) {
	for w := t.Walk(); w.Left(); {
		w.Step(len(w.left), f)
	}
}

// A Walk visits all entries in steps, between which the table may change. It misses
// what comes in after it has begun, or goes before its turn.
type Walk[T any] struct {
	left    Slots[T]
	removed *T
}

// Walk begins a visit of all entries.
func (t *Table[T]) Walk() Walk[T] { return Walk[T]{*t.slots.Load(), t.removed} }

// Left reports whether there is another step to do.
func (w *Walk[T]) Left() bool { return len(w.left) > 0 }

// Step calls f for the entries in the next n slots.
func (w *Walk[T]) Step(n int, f func(*T)) {
	n = min(n, len(w.left))
	for i := range w.left[:n] {
		if e := w.left[i].Load(); e != nil && e != w.removed {
			f(e)
		}
	}
	w.left = w.left[n:]
}

// Same compares two keys by words, at less than half the price of ==, which
// calls a function for 32 bytes. The brackets matter: in Go | and ^ bind equally.
func Same(a, b *key.Public) bool {
	le := binary.LittleEndian
	return (le.Uint64(a[0:])^le.Uint64(b[0:]))|
		(le.Uint64(a[8:])^le.Uint64(b[8:]))|
		(le.Uint64(a[16:])^le.Uint64(b[16:]))|
		(le.Uint64(a[24:])^le.Uint64(b[24:])) == 0
}
