package audience

import (
	"math/rand/v2"
	"testing"
)

// The set is held against a map, with hashes that fall on few slots too, so that
// runs of them wrap round the end.
func TestHashSetIsASet(t *testing.T) {
	for name, hash := range map[string]func(r *rand.Rand) uint64{
		"any":            func(r *rand.Rand) uint64 { return r.Uint64() | 1 },
		"few":            func(r *rand.Rand) uint64 { return r.Uint64N(200)<<1 | 1 },
		"one slot":       func(r *rand.Rand) uint64 { return r.Uint64N(50)<<32 | 1 },
		"at the end":     func(r *rand.Rand) uint64 { return (r.Uint64N(50) << 32) | (0xfffff - r.Uint64N(3)<<1) },
		"the high words": func(r *rand.Rand) uint64 { return r.Uint64N(1000)<<54 | 1 },
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 7))
			var s hashSet
			model := map[uint64]bool{}
			var known []uint64
			for step := range 50_000 {
				h := hash(random)
				if len(known) > 0 && random.IntN(2) == 0 {
					h = known[random.IntN(len(known))]
				}
				if s.has(h) != model[h] {
					t.Fatalf("has(%x) is %v", h, !model[h])
				}
				grows := step/5000%2 == 0
				switch {
				case !model[h] && (grows || random.IntN(3) == 0):
					s.add(h)
					model[h] = true
					known = append(known, h)
				case !grows || random.IntN(3) == 0:
					if s.remove(h) != model[h] {
						t.Fatalf("remove(%x) is %v", h, !model[h])
					}
					delete(model, h)
				}
				if s.n != len(model) || 2*s.n > len(s.slots) || len(s.slots) > smallestSet && 16*s.n < len(s.slots) {
					t.Fatalf("%d hashes in %d slots, want %d", s.n, len(s.slots), len(model))
				}
			}
			for h := range model {
				if !s.remove(h) {
					t.Fatalf("%x is lost", h)
				}
			}
			if s.n != 0 || s.slots != nil {
				t.Errorf("%d hashes and %d slots are left", s.n, len(s.slots))
			}
		})
	}
}

func TestToldRingHasTheLast(t *testing.T) {
	var ring toldRing
	for h := uint64(1); h < 1000; h++ {
		if ring.has(h) {
			t.Fatalf("%d was never put in", h)
		}
		ring.add(h)
		for ago := range min(h, 100) {
			if had := ring.has(h - ago); had != (ago < toldSources) {
				t.Fatalf("of %d, has(%d) is %v", h, h-ago, had)
			}
		}
	}
}
