package netio

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// Records are counted alike in whatever pieces they come.
func TestRecordsInAnyPieces(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 3))
		var wire []byte
		const want = 40
		for range want {
			n := random.IntN(1 << random.IntN(17))
			n = min(n, 1<<16-1)
			wire = append(wire, 23, 3, 3, byte(n>>8), byte(n))
			wire = append(wire, make([]byte, n)...)
		}
		var r records
		got := 0
		for len(wire) > 0 {
			n := min(len(wire), random.IntN(1<<random.IntN(18))+1)
			got += r.pass(wire[:n])
			wire = wire[n:]
		}
		if got != want {
			t.Fatalf("seed %d: %d records, want %d", seed, got, want)
		}
	}
}

// The bound is for each second, and records that came out in pieces are no credit
// for later ones.
func TestControlsPerSecond(t *testing.T) {
	var c controls
	c.begin()
	spend := func(ended, taken int32) error {
		c.extra = ended - taken
		return c.check()
	}
	for range 3 {
		c.second-- // what was counted belongs to another second than now
		for range 100 {
			if err := spend(1, 8); err != nil {
				t.Fatalf("only data: %v", err)
			}
		}
		if err := spend(controlsPerSecond+5, 5); err != nil {
			t.Fatalf("as many as are allowed: %v", err)
		}
	}
	if err := spend(controlsPerSecond+1, 0); !errors.Is(err, ErrControlRecords) {
		t.Errorf("one more at once: %v", err)
	}
}
