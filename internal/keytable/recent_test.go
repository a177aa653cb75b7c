package keytable

import (
	"testing"

	"github.com/detour-relay/detour/key"
)

// Who uses few has few places; more are there for those who would push out others that
// are still good, up to a bound, and nobody who has a place of his own loses it by that.
func TestRecentGrowsForWhatIsGood(t *testing.T) {
	table := newTable()
	of := func(first byte) *entry { return &entry{key: key.Public{0: first, 1: 1}} }
	good := map[*entry]bool{}
	remember := func(r Recent[entry], e *entry, turn uint32) Recent[entry] {
		r = table.Remember(r, Use[entry]{e, turn}, 16, func(e *entry) bool { return good[e] })
		if got := *r.At(&e.key); got != (Use[entry]{e, turn}) {
			t.Fatalf("%+v is remembered", got)
		}
		return r
	}
	r := NewRecent(4, gone)
	a, b, c := of(1), of(5), of(9)
	good[b] = true
	for turn, e := range []*entry{a, a, b} {
		if r = remember(r, e, uint32(turn)); len(r) != 4 {
			t.Fatalf("%d places after use %d", len(r), turn)
		}
	}
	if r = remember(r, c, 3); len(r) != 8 || r.At(&b.key).Of != b {
		t.Fatalf("%d places, and %v is pushed out", len(r), b.key)
	}
	for first := range byte(255) {
		e := of(first)
		good[e] = true
		r = remember(r, e, 4)
	}
	if len(r) != 16 {
		t.Errorf("%d places, want 16", len(r))
	}
	if got := r.At(&key.Public{0: 255}).Of; got == nil || got.key[0]%16 != 15 {
		t.Errorf("%v is where others would be", got)
	}
}
