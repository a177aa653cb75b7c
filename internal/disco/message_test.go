package disco

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/detour-relay/detour/key"
)

func equal(a, b *Message) bool {
	return a.Type == b.Type && a.TxID == b.TxID && a.Node == b.Node && a.Padding == b.Padding && a.Source == b.Source &&
		slices.Equal(a.Endpoints, b.Endpoints)
}

func tx(b byte) TxID { return TxID(bytes.Repeat([]byte{b}, txIDLen)) }

// The bytes are those of the format's description in doc.go.
func TestMessagesOnTheWire(t *testing.T) {
	var node key.Public
	node[0], node[31] = 0xaa, 0xbb
	const id = "010101010101010101010101"
	for name, c := range map[string]struct {
		m    Message
		want string
	}{
		"ping":            {Message{Type: Ping, TxID: tx(1), Node: node}, "0100" + id + "aa" + strings.Repeat("00", 30) + "bb"},
		"old ping":        {Message{Type: Ping, TxID: tx(1)}, "0100" + id},
		"padded":          {Message{Type: Ping, TxID: tx(1), Node: node, Padding: 3}, "0100" + id + "aa" + strings.Repeat("00", 30) + "bb000000"},
		"padding, no key": {Message{Type: Ping, TxID: tx(1), Padding: 40}, "0100" + id + strings.Repeat("00", 40)},
		"pong":            {Message{Type: Pong, TxID: tx(1), Source: netip.MustParseAddrPort("192.0.2.1:258")}, "0200" + id + "00000000000000000000ffffc00002010102"},
		"pong6":           {Message{Type: Pong, TxID: tx(1), Source: netip.MustParseAddrPort("[2001:db8::1]:65535")}, "0200" + id + "20010db8000000000000000000000001ffff"},
		"nobody to call":  {Message{Type: CallMeMaybe}, "0300"},
		"call": {Message{Type: CallMeMaybe, Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("[::2]:2")}},
			"030000000000000000000000ffff0a0000010001" + "000000000000000000000000000000020002"},
	} {
		t.Run(name, func(t *testing.T) {
			b := c.m.Append([]byte("x"))[1:]
			if got := hex.EncodeToString(b); got != c.want {
				t.Errorf("written %s\nwant    %s", got, c.want)
			}
			var got Message
			if err := got.Parse(b); err != nil || !equal(&got, &c.m) {
				t.Errorf("read %+v (%v), want %+v", got, err, c.m)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		bytes string
		want  error
	}{
		"nothing":    {"", ErrShort},
		"one byte":   {"\x01", ErrShort},
		"short ping": {"\x01\x0012345678901", ErrShort},
		"short pong": {"\x02\x00123456789012" + strings.Repeat("a", 17), ErrShort},
		"type 0":     {"\x00\x00", ErrType},
		"type 4":     {"\x04\x00" + strings.Repeat("a", 100), ErrType},
	} {
		var m Message
		if err := m.Parse([]byte(c.bytes)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestForeignEndpointsAreNone(t *testing.T) {
	whole := strings.Repeat("e", 2*endpointLen)
	for name, text := range map[string]string{"uneven": "\x03\x00" + whole + "x", "other version": "\x03\x01" + whole} {
		m := Message{Endpoints: make([]netip.AddrPort, 5)}
		if err := m.Parse([]byte(text)); err != nil || len(m.Endpoints) != 0 {
			t.Errorf("%s: %v (%v)", name, m.Endpoints, err)
		}
	}
}

func TestEndpointsAreBounded(t *testing.T) {
	var m Message
	if err := m.Parse([]byte("\x03\x00" + strings.Repeat("e", 3000*endpointLen))); err != nil || len(m.Endpoints) != MostEndpoints {
		t.Errorf("%d endpoints (%v), want %d", len(m.Endpoints), err, MostEndpoints)
	}
}

func randomMessage(r *rand.Rand) *Message {
	fill := func(b []byte) {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
	addr := func() netip.AddrPort {
		var ip [16]byte
		fill(ip[:])
		if r.IntN(2) == 0 {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[:])), uint16(r.Uint32()))
		}
		return netip.AddrPortFrom(netip.AddrFrom16(ip).Unmap(), uint16(r.Uint32()))
	}
	m := &Message{Type: Type(1 + r.IntN(3))}
	switch m.Type {
	case Ping:
		fill(m.TxID[:])
		if r.IntN(3) > 0 {
			fill(m.Node[:])
		}
		m.Padding = r.IntN(1500)
	case Pong:
		fill(m.TxID[:])
		m.Source = addr()
	case CallMeMaybe:
		for range r.IntN(MostEndpoints + 1) {
			m.Endpoints = append(m.Endpoints, addr())
		}
	}
	return m
}

func TestWhatIsSealedIsOpened(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	a, b := pair()
	for range 2000 {
		m, got := randomMessage(r), &Message{}
		packet := a.AppendSealed(nil, b.Public(), m)
		if len(packet) != Overhead+len(m.Append(nil)) {
			t.Fatalf("%d bytes for %+v", len(packet), m)
		}
		from, err := b.Open(packet, got)
		if err != nil || from != a.Public() || !equal(got, m) {
			t.Fatalf("%+v from %v (%v), want %+v", got, from, err, m)
		}
		packet[r.IntN(len(packet))] ^= 1 << r.IntN(8)
		if from, err := b.Open(packet, got); err == nil {
			t.Fatalf("a packet that was changed is opened, from %v", from)
		}
	}
}

func FuzzParse(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add(randomMessage(r).Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Message
		if m.Parse(b) != nil {
			return
		}
		if len(m.Endpoints) > MostEndpoints || m.Padding > len(b) {
			t.Fatalf("%+v of %d bytes", m, len(b))
		}
		if err := again.Parse(m.Append(nil)); err != nil || !equal(&m, &again) {
			t.Fatalf("%+v is written and read as %+v (%v)", m, again, err)
		}
	})
}
