package relay

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/detour-relay/detour/internal/keytable"
	"github.com/detour-relay/detour/key"
)

// Where a conn looks for what it remembers is worked out from bits of the key. The
// plain form is arithmetic: a remainder, and of two keys a sum.

func TestPlaceOfADestination(t *testing.T) {
	for n := fewDestinations; n <= manyDestinations; n *= 2 {
		c := keytable.NewRecent(n, removed)
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

func TestPlaceOfAFlow(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	fs := new(flows)
	wordOf := func(k key.Public) int { return int(k[0]) + 256*int(k[1]) }
	wantPlace := func(src, dst key.Public) {
		t.Helper()
		// 2^16 is a multiple of the number of flows, so overflow is no matter.
		want := (31*wordOf(src) + wordOf(dst)) % len(fs)
		if got := indexIn(fs[:], fs.place(&src, &dst)); got != want {
			t.Fatalf("packets from %x to %x have place %d, want %d", src[:2], dst[:2], got, want)
		}
	}
	edges := []key.Public{{}, {0: 0xff}, {1: 0xff}, {0: 0xff, 1: 0xff}, {0: 1}, {1: 0x80}}
	for _, src := range edges {
		for _, dst := range edges {
			wantPlace(src, dst)
		}
	}
	for range 60 {
		src, dst := randomKey(random), randomKey(random)
		wantPlace(src, dst)
		for _, other := range almost(src, random) {
			wantPlace(other, dst)
			wantPlace(dst, other)
		}
	}
}

// indexIn returns which of all p points to.
func indexIn[T any](all []T, p *T) int {
	return int((uintptr(unsafe.Pointer(p)) - uintptr(unsafe.Pointer(&all[0]))) / unsafe.Sizeof(all[0]))
}

// Whatever a conn remembers of destinations and flows, and whoever comes, leaves or
// has a second conn meanwhile: it finds what the table has, or nothing.
func TestWhatIsRememberedIsWhatTheTableHas(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	s := newTestServer(t, Config{})
	from, _ := join(s, randomKey(random))
	keys := make([]key.Public, 600)
	for i := range keys {
		keys[i] = randomKey(random)
		if i%3 == 0 {
			keys[i][0], keys[i][1] = 7, 7 // these have one place
		}
	}
	conns := map[key.Public][]*conn{}
	packet := []byte("packet")
	hits, flowHits := 0, 0
	for range 20_000 {
		k := keys[min(random.IntN(len(keys)), random.IntN(len(keys)))]
		switch mine := conns[k]; random.IntN(8) {
		case 0:
			c, _ := join(s, k)
			conns[k] = append(mine, c)
		case 1:
			if len(mine) > 0 {
				n := random.IntN(len(mine))
				leave(mine[n])
				conns[k] = append(mine[:n:n], mine[n+1:]...)
			}
		default:
			var want *outbox
			if rt := s.routes.lookup(&k); rt != nil {
				want = rt.active.Load()
			}
			if got := from.remembered(&k); got != nil {
				hits++
				if got != want {
					t.Fatalf("a packet for %x goes to another conn than the table says", k)
				}
			}
			if got := from.rememberedFlow(&from.key, &k); got != nil {
				flowHits++
				if got != want {
					t.Fatalf("a packet forwarded for %x goes to another conn than the table says", k)
				}
			}
			src := from.key
			from.sendPacket(&k, packet, new(burst))
			from.deliver(&src, &k, packet, new(burst))
			if want != nil && (from.remembered(&k) != want || from.rememberedFlow(&src, &k) != want) {
				t.Fatalf("%x is not remembered", k)
			}
		}
	}
	if hits < 1000 || flowHits < 1000 || len(from.dests) != manyDestinations {
		t.Errorf("only %d and %d packets were for somebody remembered, of %d places", hits, flowHits, len(from.dests))
	}
}
