package relay

import (
	"math/rand/v2"
	"testing"

	"github.com/detour-relay/detour/key"
)

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
