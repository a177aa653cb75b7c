package disco

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// pair are two who know each other.
func pair() (a, b *Ring) {
	a, b = NewRing(key.NewPrivate()), NewRing(key.NewPrivate())
	a.Add(b.Public())
	b.Add(a.Public())
	return a, b
}

func TestStrangersAndForeignBytes(t *testing.T) {
	a, b := pair()
	m := &Message{Type: Ping, TxID: tx(7)}
	packet := a.AppendSealed(nil, b.Public(), m)
	stranger := NewRing(key.NewPrivate())
	stranger.Add(b.Public())
	third, _ := pair()
	third.Add(a.Public())
	mirrored := append([]byte(magic), append(append([]byte{}, b.public[:]...), packet[senderEnd:]...)...)
	for name, c := range map[string]struct {
		ring   *Ring
		packet []byte
		want   error
	}{
		"nothing":                 {b, nil, ErrNotDisco},
		"a header cut off":        {b, packet[:HeaderLen-1], ErrNotDisco},
		"WireGuard":               {b, append([]byte{4, 0, 0, 0}, packet...), ErrNotDisco},
		"a header alone":          {b, packet[:HeaderLen], ErrSealed},
		"cut off":                 {b, packet[:len(packet)-1], ErrSealed},
		"longer":                  {b, append(packet[:len(packet):len(packet)], 0), ErrSealed},
		"from a stranger":         {b, stranger.AppendSealed(nil, b.Public(), m), ErrStranger},
		"for somebody else":       {third, packet, ErrSealed},
		"what we have sent":       {a, packet, ErrStranger},
		"in the receiver's name":  {b, mirrored, ErrStranger},
		"of a type of other days": {b, a.boxed(b.Public(), []byte{9, 0}), ErrType},
		"an empty box":            {b, a.boxed(b.Public(), nil), ErrShort},
	} {
		var got Message
		if _, err := c.ring.Open(c.packet, &got); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if b := a.AppendSealed(nil, stranger.Public(), m); b != nil {
		t.Error("something is sealed for somebody who is not on the ring")
	}
	b.Remove(a.Public())
	if _, err := b.Open(packet, m); !errors.Is(err, ErrStranger) {
		t.Errorf("from one who was removed: %v", err)
	}
}

// boxed seals any bytes.
func (r *Ring) boxed(to key.Public, plain []byte) []byte {
	return r.boxes[to].AppendSeal(append([]byte(magic), r.public[:]...), plain)
}

func TestNobodyIsOnTheRingByOurOwnKeyOrNone(t *testing.T) {
	r := NewRing(key.NewPrivate())
	r.Add(r.Public())
	r.Add(key.Public{})
	if len(r.boxes) != 0 {
		t.Errorf("%d are", len(r.boxes))
	}
}

// A relay queues apart what it takes for disco: it must be the same packets.
func TestSenderAgreesWithTheRelays(t *testing.T) {
	a, b := pair()
	whole := a.AppendSealed(nil, b.Public(), &Message{Type: CallMeMaybe})
	check := func(p []byte) {
		if _, ok := Sender(p); ok != derp.IsDisco(p) {
			t.Errorf("%x: %v", p, ok)
		}
	}
	for n := range whole {
		check(whole[:n])
	}
	for i := range len(magic) {
		other := append([]byte{}, whole...)
		other[i]++
		check(other)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	a, b := pair()
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		m, got, packet := randomMessage(r), &Message{}, []byte(nil)
		once := func() {
			packet = a.AppendSealed(packet[:0], b.public, m)
			if _, err := b.Open(packet, got); err != nil {
				t.Fatal(err)
			}
		}
		once()
		if n := testing.AllocsPerRun(100, once); n != 0 {
			t.Errorf("%v allocations for %+v", n, m)
		}
	}
}

func FuzzOpen(f *testing.F) {
	a, b := pair()
	f.Add(a.AppendSealed(nil, b.Public(), &Message{Type: Ping}))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, packet []byte) {
		var m Message
		if from, err := b.Open(packet, &m); err == nil && from != a.Public() {
			t.Fatalf("opened a packet from %v", from)
		}
	})
}
