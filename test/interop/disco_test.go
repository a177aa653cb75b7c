package interop

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	theirdisco "tailscale.com/disco"
	theirkey "tailscale.com/types/key"

	ours "github.com/detour-relay/detour/internal/disco"
	"github.com/detour-relay/detour/key"
)

// discoPair is one of ours and one of theirs who know each other.
type discoPair struct {
	ring   *ours.Ring
	theirs theirkey.DiscoPublic
	shared theirkey.DiscoShared
}

func newDiscoPair() discoPair {
	ring, private := ours.NewRing(key.NewPrivate()), theirkey.NewDisco()
	ring.Add(raw(private.Public()))
	var public theirkey.DiscoPublic
	if err := public.UnmarshalText([]byte("discokey:" + ring.Public().Hex())); err != nil {
		panic(err)
	}
	return discoPair{ring, private.Public(), private.Shared(public)}
}

// read has their code open what ours has sealed.
func (p discoPair) read(t *testing.T, packet []byte) []byte {
	src, ok := theirdisco.Source(packet)
	public := p.ring.Public()
	if !ok || !bytes.Equal(src, public[:]) {
		t.Fatalf("their code takes %x for the sender, want %x", src, public)
	}
	plain, ok := p.shared.Open(packet[len(theirdisco.Magic)+key.Len:])
	if !ok {
		t.Fatal("their code cannot open what ours has sealed")
	}
	return plain
}

// seal has their code make a packet for ours.
func (p discoPair) seal(plain []byte) []byte {
	packet := p.theirs.AppendTo([]byte(theirdisco.Magic))
	return append(packet, p.shared.Seal(plain)...)
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func randomAddr(r *rand.Rand) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(randomBytes(r, 4+12*r.IntN(2)))
	return netip.AddrPortFrom(ip.Unmap(), uint16(r.Uint32()))
}

// raw is a disco key of theirs as one of ours.
func raw(their theirkey.DiscoPublic) key.Public { return key.Public(their.AppendTo(nil)) }

func theirNode(k key.Public) (their theirkey.NodePublic) {
	if err := their.UnmarshalText([]byte(k.String())); err != nil {
		panic(err)
	}
	return their
}

// bothForms makes the same message for both.
func bothForms(r *rand.Rand) (*ours.Message, theirdisco.Message) {
	tx := [12]byte(randomBytes(r, 12))
	switch r.IntN(3) {
	case 0:
		m, d := &ours.Message{Type: ours.Ping, TxID: tx, Padding: r.IntN(1400)}, &theirdisco.Ping{TxID: tx}
		d.Padding = m.Padding
		if r.IntN(3) > 0 {
			m.Node = key.Public(randomBytes(r, 32))
			d.NodeKey = theirNode(m.Node)
		}
		return m, d
	case 1:
		src := randomAddr(r)
		return &ours.Message{Type: ours.Pong, TxID: tx, Source: src}, &theirdisco.Pong{TxID: tx, Src: src}
	}
	m := &ours.Message{Type: ours.CallMeMaybe}
	for range r.IntN(ours.MostEndpoints + 1) {
		m.Endpoints = append(m.Endpoints, randomAddr(r))
	}
	return m, &theirdisco.CallMeMaybe{MyNumber: slices.Clone(m.Endpoints)}
}

// inTheirForm is what their code would have made of a message that ours has read.
func inTheirForm(m *ours.Message) theirdisco.Message {
	switch m.Type {
	case ours.Ping:
		d := &theirdisco.Ping{TxID: m.TxID, Padding: m.Padding}
		if !m.Node.IsZero() {
			d.NodeKey = theirNode(m.Node)
		}
		return d
	case ours.Pong:
		return &theirdisco.Pong{TxID: m.TxID, Src: m.Source}
	}
	return &theirdisco.CallMeMaybe{MyNumber: slices.Clone(m.Endpoints)}
}

func sameDisco(a, b theirdisco.Message) bool {
	x, isCall := a.(*theirdisco.CallMeMaybe)
	y, isCallToo := b.(*theirdisco.CallMeMaybe)
	if isCall && isCallToo {
		return slices.Equal(x.MyNumber, y.MyNumber)
	}
	return reflect.DeepEqual(a, b)
}

// Random messages, sealed by each side and read by the other, are the same to both.
func TestDiscoBothWays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 13))
	p := newDiscoPair()
	for range 3000 {
		m, d := bothForms(r)
		plain := p.read(t, p.ring.AppendSealed(nil, raw(p.theirs), m))
		if want := d.AppendMarshal(nil); !bytes.Equal(plain, want) {
			t.Fatalf("ours writes %x, theirs %x", plain, want)
		}
		if got, err := theirdisco.Parse(plain); err != nil || !sameDisco(got, d) {
			t.Fatalf("theirs reads %+v (%v), want %+v", got, err, d)
		}
		var got ours.Message
		from, err := p.ring.Open(p.seal(d.AppendMarshal(nil)), &got)
		if err != nil || from != raw(p.theirs) || !sameDisco(inTheirForm(&got), d) {
			t.Fatalf("ours reads %+v (%v), want %+v", got, err, d)
		}
	}
}

// Of bytes that are no message, or one that is damaged, both make the same.
func TestDiscoOfForeignBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 13))
	read := 0
	for range 20000 {
		_, d := bothForms(r)
		plain := d.AppendMarshal(nil)
		switch r.IntN(4) {
		case 0:
			plain = plain[:r.IntN(len(plain)+1)]
		case 1:
			plain = append(plain, randomBytes(r, r.IntN(40))...)
		case 2:
			plain[r.IntN(2)] = byte(r.IntN(4))
		case 3:
			plain = append([]byte{byte(1 + r.IntN(3)), byte(r.IntN(2))}, randomBytes(r, r.IntN(30*18))...)
		}
		want, theirErr := theirdisco.Parse(plain)
		var got ours.Message
		ourErr := got.Parse(plain)
		if (theirErr == nil) != (ourErr == nil) {
			t.Fatalf("%x: ours %v, theirs %v", plain, ourErr, theirErr)
		}
		if ourErr != nil {
			continue
		}
		read++
		if c, ok := want.(*theirdisco.CallMeMaybe); ok {
			c.MyNumber = c.MyNumber[:min(len(c.MyNumber), ours.MostEndpoints)]
		}
		if !sameDisco(inTheirForm(&got), want) {
			t.Fatalf("%x: ours reads %+v, theirs %+v", plain, got, want)
		}
	}
	if read < 5000 {
		t.Errorf("only %d of them could be read: the comparison is worth little", read)
	}
}
