package relay

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/keytable"
	"github.com/detour-relay/detour/internal/ledger"
	"github.com/detour-relay/detour/key"
)

// randomKey returns 32 random bytes, as the engine takes any for a key.
func randomKey(random *rand.Rand) (k key.Public) {
	for i := 0; i < len(k); i += 8 {
		binary.LittleEndian.PutUint64(k[i:], random.Uint64())
	}
	return k
}

// almost returns keys that a comparison may take for k: each single bit turned,
// words exchanged, and pairs of words in which the same bits are turned.
func almost(k key.Public, random *rand.Rand) (keys []key.Public) {
	for bit := range 8 * len(k) {
		other := k
		other[bit/8] ^= 1 << (bit % 8)
		keys = append(keys, other)
	}
	for i := 0; i < len(k); i += 8 {
		for j := 0; j < len(k); j += 8 {
			if i == j {
				continue
			}
			swapped, twice := k, k
			copy(swapped[i:i+8], k[j:j+8])
			copy(swapped[j:j+8], k[i:i+8])
			flip := byte(1 + random.IntN(255))
			at := random.IntN(8)
			twice[i+at] ^= flip
			twice[j+at] ^= flip
			keys = append(keys, swapped, twice)
		}
	}
	return keys
}

// evading returns a key other than k that a chain of ^ and | without brackets
// takes for k: what differs in the first word hides behind the ones of the rest.
func evading(k key.Public, random *rand.Rand) key.Public {
	le := binary.LittleEndian
	word := func(n int) uint64 { return le.Uint64(k[8*n:]) }
	other := k
	mask := word(1) & word(2) & word(3)
	le.PutUint64(other[0:], word(0)^(random.Uint64()&mask|mask&-mask))
	return other
}

func TestSameIsEquality(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	keys := []key.Public{{}, {0: 1}, {31: 0x80}}
	for i := range keys[0] {
		keys[0][i] = 0xff
	}
	for range 200 {
		keys = append(keys, randomKey(random))
	}
	for _, k := range keys {
		if other := k; !keytable.Same(&k, &other) {
			t.Fatalf("%x is not taken for itself", k)
		}
		for _, other := range append(almost(k, random), evading(k, random), randomKey(random)) {
			if keytable.Same(&k, &other) != (k == other) || keytable.Same(&other, &k) != (k == other) {
				t.Fatalf("Same(%x, %x) is %v", k, other, k != other)
			}
		}
	}
}

// Keys that differ in little live side by side in every table that compares or
// places them: routes, destinations of a conn, and flows of a sibling's conn.
func TestAlmostEqualKeysAreApart(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	k := randomKey(random)
	neighbours := append(almost(k, random), evading(k, random))

	s := newTestServer(t, Config{})
	from, _ := join(s, randomKey(random))
	join(s, k)
	packet := []byte("for k alone")
	sendTo := func(dst key.Public) (dropped uint64) {
		count := func() uint64 { return s.count.book.Totals().Lost[ledger.UnknownDest][ledger.Data].Packets }
		before := count()
		var w burst
		from.sendPacket(&dst, packet, &w)
		return count() - before
	}
	if sendTo(k) != 0 {
		t.Fatal("a packet for the key itself is dropped")
	}
	for _, other := range neighbours {
		if other != k && sendTo(other) != 1 {
			t.Fatalf("a packet for %x goes to %x", other, k)
		}
	}

	conns := map[key.Public]*conn{}
	for _, other := range neighbours {
		if conns[other] == nil && other != k {
			conns[other], _ = join(s, other)
		}
	}
	for range 2 { // looked up, then remembered
		for other, c := range conns {
			var w burst
			from.sendPacket(&other, packet, &w)
			if w.n != 1 || w.touched[0] != &c.out {
				t.Fatalf("a packet for %x does not go to its conn", other)
			}
			src := from.key
			var f burst
			from.deliver(&src, &other, packet, &f)
			if f.n != 1 || f.touched[0] != &c.out {
				t.Fatalf("a packet forwarded for %x does not go to its conn", other)
			}
		}
	}
}

// A sibling may announce what it likes: its link ends, whatever the routes say.
func TestUnlinkEndsWhateverARouteSays(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	s := newTestServer(t, Config{})
	l := newLink(s, new(sink), Sibling{Name: "sibling"}, randomKey(random))
	if err := s.routes.link(l); err != nil {
		t.Fatal(err)
	}
	k := randomKey(random)
	for _, other := range append(almost(k, random), k) {
		if err := s.routes.announced(l, other); err != nil {
			t.Fatal(err)
		}
	}
	l.announced[randomKey(random)] = l.announced[k] // a route of another key
	s.routes.unlink(l)
	if len(l.announced) != 0 || s.routes.table.Len() != 0 || len(s.routes.links) != 0 {
		t.Errorf("%d keys, %d routes and %d links are left", len(l.announced), s.routes.table.Len(), len(s.routes.links))
	}
}

func TestKindOfIsAPrefix(t *testing.T) {
	magic := "TS💬"
	whole := magic + string(make([]byte, 64))
	for n := range len(whole) {
		if derp.IsDisco([]byte(whole[:n])) && n < len(magic) {
			t.Errorf("the first %d bytes of a disco packet are taken for one", n)
		}
	}
	for i := range len(magic) {
		for bit := range 8 {
			packet := []byte(whole)
			packet[i] ^= 1 << bit
			if kindOf(packet) != ledger.Data {
				t.Errorf("a packet that differs from disco in bit %d of byte %d is taken for it", bit, i)
			}
		}
	}
	if kindOf([]byte(whole)) != ledger.Disco {
		t.Error("a disco packet is not taken for one")
	}
}
