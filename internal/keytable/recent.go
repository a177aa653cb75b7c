package keytable

import "github.com/detour-relay/detour/key"

// A Use is an entry that somebody has used, and how it was then.
type Use[T any] struct {
	Of   *T
	Turn uint32
}

// A Recent has the entries that somebody used last, in so many places, a power of two.
// An entry has one place, by the first byte of its key.
type Recent[T any] []Use[T]

// NewRecent returns places in which only nobody is.
func NewRecent[T any](places int, nobody *T) Recent[T] {
	r := make(Recent[T], places)
	for i := range r {
		r[i].Of = nobody
	}
	return r
}

// At returns where k is, if it is anywhere: whoever asks compares the key.
func (r Recent[T]) At(k *key.Public) *Use[T] { return &r[uint(k[0])&uint(len(r)-1)] }

// Remember puts a use of an entry of this table in its place. If it would push out
// another one that is still good there are twice as many places first, up to most.
func (t *Table[T]) Remember(r Recent[T], use Use[T], most int, good func(*T) bool) Recent[T] {
	k := t.key(use.Of)
	if old := r.At(k).Of; old != use.Of && good(old) && len(r) < most {
		before := r
		r = NewRecent(2*len(before), t.removed)
		for _, b := range before {
			*r.At(t.key(b.Of)) = b
		}
	}
	*r.At(k) = use
	return r
}
