package keytable

import (
	"encoding/binary"

	"github.com/detour-relay/detour/key"
)

// A Pair is two entries that somebody has used together, and how the second was then.
type Pair[T any] struct {
	From, To *T // nil: nobody has
	Turn     uint32
}

// Pairs are those that somebody used last. A pair has one place, by the first bytes of
// both keys.
type Pairs[T any] [1024]Pair[T]

// At returns where the pair is, if it is anywhere: whoever asks compares the keys.
func (p *Pairs[T]) At(from, to *key.Public) *Pair[T] {
	le := binary.LittleEndian
	return &p[(31*le.Uint16(from[:])+le.Uint16(to[:]))%uint16(len(p))]
}
