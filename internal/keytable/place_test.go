package keytable

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/detour-relay/detour/key"
)

// Where somebody looks for what he remembers is worked out from bits of the key. The
// plain form is arithmetic: a remainder, and of two keys a sum.

func TestPlaceOfADestination(t *testing.T) {
	for n := 4; n <= 256; n *= 2 {
		c := NewRecent(n, gone)
		for first := range 256 {
			k := key.Public{0: byte(first), 1: 0xff, 31: byte(first)}
			if got := indexIn(c, c.At(&k)); got != first%n {
				t.Errorf("a key that begins with %d has place %d of %d, want %d", first, got, n, first%n)
			}
			for bit := 8; bit < 8*len(k); bit++ {
				other := k
				other[bit/8] ^= 1 << (bit % 8)
				if c.At(&other) != c.At(&k) {
					t.Fatalf("bit %d of a key changes its place among %d", bit, n)
				}
			}
		}
	}
}

// indexIn returns which of all p points to.
func indexIn[T any](all []T, p *T) int {
	return int((uintptr(unsafe.Pointer(p)) - uintptr(unsafe.Pointer(&all[0]))) / unsafe.Sizeof(all[0]))
}

func TestPlaceOfAPair(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	pairs := new(Pairs[entry])
	wordOf := func(k key.Public) int { return int(k[0]) + 256*int(k[1]) }
	wantPlace := func(from, to key.Public) {
		t.Helper()
		// 2^16 is a multiple of the number of places, so overflow is no matter.
		want := (31*wordOf(from) + wordOf(to)) % len(pairs)
		if got := indexIn(pairs[:], pairs.At(&from, &to)); got != want {
			t.Fatalf("packets from %x to %x have place %d, want %d", from[:2], to[:2], got, want)
		}
	}
	edges := []key.Public{{}, {0: 0xff}, {1: 0xff}, {0: 0xff, 1: 0xff}, {0: 1}, {1: 0x80}}
	for _, from := range edges {
		for _, to := range edges {
			wantPlace(from, to)
		}
	}
	for range 60 {
		var from, to key.Public
		for i := range from {
			from[i], to[i] = byte(random.Uint32()), byte(random.Uint32())
		}
		wantPlace(from, to)
		for bit := range 8 * len(from) {
			other := from
			other[bit/8] ^= 1 << (bit % 8)
			wantPlace(other, to)
			wantPlace(to, other)
		}
	}
}
