package stun

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// The responder's codec is our own; the library is the judge of it.

func TestAnswersAreTheLibrarys(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		addr := randomAddr(random)
		id, request, err := newRequest()
		if err != nil {
			t.Fatal(err)
		}
		ip := addr.Addr().Unmap().AsSlice()
		want, err := stun.Build(stun.NewTransactionIDSetter(id), stun.BindingSuccess,
			&stun.XORMappedAddress{IP: ip, Port: int(addr.Port())})
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, maxAnswer)
		copy(b, request)
		got := b[:putAnswer(b, addr)]
		if !bytes.Equal(got, want.Raw) {
			t.Fatalf("%v: answer\n%x, the library says\n%x", addr, got, want.Raw)
		}
		if parsed, err := parseAnswer(got); err != nil ||
			parsed != netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()) {
			t.Fatalf("%v: the prober reads %v, %v", addr, parsed, err)
		}
	}
}

func randomAddr(random *rand.Rand) netip.AddrPort {
	var a [16]byte
	binary.BigEndian.PutUint64(a[:], random.Uint64())
	binary.BigEndian.PutUint64(a[8:], random.Uint64())
	a[0] = 0x20
	port := uint16(1 + random.IntN(0xffff))
	switch random.IntN(3) {
	case 0:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[:4])), port)
	case 1:
		return netip.AddrPortFrom(netip.AddrFrom16(netip.AddrFrom4([4]byte(a[:4])).As16()), port)
	default:
		return netip.AddrPortFrom(netip.AddrFrom16(a), port)
	}
}

func seedRequests(f *testing.F) {
	v := loadVectors(f)
	for _, test := range v.Requests {
		f.Add([]byte(test.Packet))
	}
	for _, test := range v.Answers {
		f.Add([]byte(test.Packet))
	}
	for _, test := range v.Responses {
		f.Add([]byte(test.Response))
	}
}

// Where the header's length field tells the truth, the responder and the
// library agree on what is a request.
func FuzzRequest(f *testing.F) {
	seedRequests(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		got := classify(b)
		if !bytes.Equal(before, b) {
			t.Fatal("a datagram was changed by looking at it")
		}
		if got == none {
			room := make([]byte, max(len(b), maxAnswer))
			copy(room, b)
			size := putAnswer(room, netip.MustParseAddrPort("[2001:db8::1]:1"))
			if size > len(b)+4 {
				t.Fatalf("%d bytes are answered by %d", len(b), size)
			}
		}
		if len(b) >= headerSize && len(b) <= maxRequest && int(binary.BigEndian.Uint16(b[2:])) == len(b)-headerSize {
			if want := libraryAccepts(b); (got == none) != want {
				t.Fatalf("reason %q, the library accepts: %v", reasonNames[got], want)
			}
		}
	})
}

func libraryAccepts(b []byte) bool {
	m := stun.Message{Raw: bytes.Clone(b)}
	if m.Decode() != nil || m.Type != stun.BindingRequest || b[0]&0xc0 != 0 {
		return false
	}
	named := false
	for _, a := range m.Attributes {
		named = named || a.Type == stun.AttrSoftware && string(a.Value) == "tailnode"
	}
	if !named {
		return false
	}
	last := m.Attributes[len(m.Attributes)-1]
	if last.Type != stun.AttrFingerprint || last.Length != 4 {
		return false
	}
	return binary.BigEndian.Uint32(last.Value) == stun.FingerprintValue(b[:len(b)-8])
}

// FuzzRequestBody gives each input a true header and a true fingerprint, so that
// the fuzzer gets to the attributes.
func FuzzRequestBody(f *testing.F) {
	f.Add([]byte("\x80\x22\x00\x08tailnode"))
	f.Add([]byte("\x7f\x01\x00\x05abcde\x00\x00\x00\x80\x22\x00\x08tailnode"))
	f.Add([]byte("\x80\x28\x00\x04abcd\x80\x22\x00\x08tailnode"))
	f.Fuzz(func(t *testing.T, attributes []byte) {
		if len(attributes) > maxRequest-headerSize-8 {
			return
		}
		b := binary.BigEndian.AppendUint16(nil, bindingRequest)
		b = binary.BigEndian.AppendUint16(b, uint16(len(attributes)+8))
		b = binary.BigEndian.AppendUint32(b, cookie)
		b = append(b, "transaction!"...)
		b = append(b, attributes...)
		fingerprint := stun.FingerprintValue(b)
		b = append(b, 0x80, 0x28, 0, 4)
		b = binary.BigEndian.AppendUint32(b, fingerprint)
		if got, want := classify(b), libraryAccepts(b); (got == none) != want {
			t.Fatalf("reason %q, the library accepts: %v", reasonNames[got], want)
		}
	})
}

// Whatever an answer says, the prober comes back with an address that a host
// can have, or with an error.
func FuzzAnswer(f *testing.F) {
	seedRequests(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		answeredTransaction(b)
		addr, err := parseAnswer(b)
		if err != nil {
			if addr.IsValid() {
				t.Fatalf("%v and %v", addr, err)
			}
			return
		}
		if _, ok := answeredTransaction(b); !ok {
			t.Fatal("an answer to nothing")
		}
		if a := addr.Addr(); !a.IsValid() || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || addr.Port() == 0 {
			t.Fatalf("a host has the address %v", addr)
		}
	})
}

func TestLyingAnswersAreRefused(t *testing.T) {
	const header = "\x01\x01\x00\x0c\x21\x12\xa4\x42transaction!"
	for name, answer := range map[string]string{
		"nothing":               "",
		"a request":             "\x00\x01\x00\x0c\x21\x12\xa4\x42transaction!\x00\x20\x00\x08\x00\x01\x12\x34\x01\x02\x03\x04",
		"an error":              "\x01\x11\x00\x0c\x21\x12\xa4\x42transaction!\x00\x20\x00\x08\x00\x01\x12\x34\x01\x02\x03\x04",
		"another cookie":        "\x01\x01\x00\x0c\x21\x12\xa4\x43transaction!\x00\x20\x00\x08\x00\x01\x12\x34\x01\x02\x03\x04",
		"longer than it is":     "\x01\x01\xff\xfc\x21\x12\xa4\x42transaction!\x00\x20\x00\x08\x00\x01\x12\x34\x01\x02\x03\x04",
		"attribute overruns":    header + "\x00\x20\x00\x0c\x00\x01\x12\x34\x01\x02\x03\x04",
		"family 3":              header + "\x00\x20\x00\x08\x00\x03\x12\x34\x01\x02\x03\x04",
		"cut address":           header + "\x00\x20\x00\x06\x00\x01\x12\x34\x01\x02\x00\x00",
		"IPv4 called IPv6":      header + "\x00\x20\x00\x08\x00\x02\x12\x34\x01\x02\x03\x04",
		"port 0":                header + "\x00\x20\x00\x08\x00\x01\x21\x12\x01\x02\x03\x04",
		"0.0.0.0":               header + "\x00\x20\x00\x08\x00\x01\x12\x34\x21\x12\xa4\x42",
		"multicast":             header + "\x00\x01\x00\x08\x00\x01\x12\x34\xe0\x00\x00\x01",
		"bad XOR, good address": "\x01\x01\x00\x14\x21\x12\xa4\x42transaction!\x00\x20\x00\x04\x00\x01\x12\x34\x00\x01\x00\x08\x00\x01\x12\x34\x01\x02\x03\x04",
	} {
		if addr, err := parseAnswer([]byte(answer)); err == nil {
			t.Errorf("%s: the prober reads %v", name, addr)
		}
	}
}
