package stun

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// Each bit trick of the way of a request stands here beside its plain form.

// plainAnswer is section 15.2 of RFC 5389, byte by byte.
func plainAnswer(request []byte, to netip.AddrPort) []byte {
	mask := request[4:20] // cookie and transaction ID
	addr := to.Addr().Unmap().AsSlice()
	family := byte(1)
	if len(addr) == 16 {
		family = 2
	}
	answer := []byte{0x01, 0x01, 0, byte(4 + 4 + len(addr))}
	answer = append(answer, mask...)
	answer = append(answer, 0x00, 0x20, 0, byte(4+len(addr)), 0, family,
		byte(to.Port()>>8)^mask[0], byte(to.Port())^mask[1])
	for i := range addr {
		answer = append(answer, addr[i]^mask[i])
	}
	return answer
}

// Each bit of address, port and transaction ID goes where it belongs, and nowhere
// else.
func TestAnswersArePlainInEachBit(t *testing.T) {
	_, request, err := newRequest()
	if err != nil {
		t.Fatal(err)
	}
	compare := func(request []byte, to netip.AddrPort) {
		b := make([]byte, max(len(request), maxAnswer))
		copy(b, request)
		if got, want := b[:putAnswer(b, to)], plainAnswer(request, to); !bytes.Equal(got, want) {
			t.Fatalf("%v: got\n%x, want\n%x", to, got, want)
		}
	}
	for bit := range 128 {
		var six [16]byte
		six[bit/8] = 1 << (bit % 8)
		compare(request, netip.AddrPortFrom(netip.AddrFrom16(six), 1))
		compare(request, netip.AddrPortFrom(netip.AddrFrom4([4]byte(six[:4])), 0xffff))
		compare(request, netip.AddrPortFrom(netip.AddrFrom16(netip.AddrFrom4([4]byte(six[:4])).As16()), 1))
		compare(request, netip.AddrPortFrom(netip.IPv6Unspecified(), 1<<(bit%16)))
		changed := bytes.Clone(request)
		changed[8+bit%96/8] ^= 1 << (bit % 8) // of the transaction ID
		compare(changed, netip.MustParseAddrPort("[2001:db8::1]:3478"))
		compare(changed, netip.MustParseAddrPort("192.0.2.1:3478"))
	}
}

// plainRequest is what classify decides, without an index to keep: it takes
// attribute after attribute off the front.
func plainRequest(b []byte) bool {
	if len(b) > 1500 || len(b) < 20 || b[0]>>6 != 0 || !bytes.Equal(b[4:8], []byte{0x21, 0x12, 0xa4, 0x42}) {
		return false
	}
	if b[0] != 0 || b[1] != 1 {
		return false
	}
	named, last, lastSize := false, -1, 0
	for rest := b[20:]; len(rest) > 0; {
		if len(rest) < 4 {
			return false
		}
		size := 256*int(rest[2]) + int(rest[3])
		padded := size
		for padded%4 != 0 {
			padded++
		}
		if len(rest) < 4+padded {
			return false
		}
		last, lastSize = 256*int(rest[0])+int(rest[1]), size
		named = named || last == 0x8022 && string(rest[4:4+size]) == "tailnode"
		rest = rest[4+padded:]
	}
	if !named || last != 0x8028 || lastSize != 4 {
		return false
	}
	sum := crc32.ChecksumIEEE(b[:len(b)-8])
	return binary.BigEndian.Uint32(b[len(b)-4:]) == sum^0x5354554e
}

// Attributes of each length and padding, of which the last may overrun the
// datagram by any number of bytes, or fall short of its end.
func TestPaddingIsThePlainOne(t *testing.T) {
	for size := range 1500 {
		for _, cut := range []int{-1, 0, 1, 2, 3, 4, 5} {
			b := attributes(attribute{0x7f01, bytes.Repeat([]byte{1}, size)}, attribute{attributeSoftware, []byte(software)})
			b = signed(b)
			if cut < 0 {
				b = append(b, 0)
			}
			b = b[:len(b)-max(cut, 0)]
			if got, want := classify(b) == none, plainRequest(b); got != want {
				t.Fatalf("%d bytes, cut by %d: %v, want %v", size, cut, got, want)
			}
		}
	}
}

// No single bit of a request may change without notice, and what is random is
// judged like the plain form judges it.
func TestRequestsAreJudgedPlainly(t *testing.T) {
	_, request, err := newRequest()
	if err != nil || classify(request) != none || !plainRequest(request) {
		t.Fatal(err, classify(request))
	}
	for bit := range 8 * len(request) {
		b := bytes.Clone(request)
		b[bit/8] ^= 1 << (bit % 8)
		if classify(b) == none || plainRequest(b) {
			t.Errorf("bit %d of a request makes no difference", bit)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	good := 0
	for range 50_000 {
		b := randomRequest(random)
		got, want := classify(b) == none, plainRequest(b)
		if got != want {
			t.Fatalf("%x: %v, want %v", b, got, want)
		}
		if got {
			good++
		}
	}
	if good < 1000 {
		t.Errorf("only %d of the random requests are good: they test little", good)
	}
}

type attribute struct {
	kind  uint16
	value []byte
}

// attributes returns a request with these, whose header says nothing of its length.
func attributes(all ...attribute) []byte {
	b := make([]byte, headerSize, maxRequest)
	b[1] = 1
	binary.BigEndian.PutUint32(b[4:], cookie)
	for _, a := range all {
		b = binary.BigEndian.AppendUint16(b, a.kind)
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.value)))
		b = append(b, a.value...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	return b
}

// signed appends the fingerprint.
func signed(b []byte) []byte {
	sum := crc32.ChecksumIEEE(b) ^ fingerprintMask
	b = append(b, 0x80, 0x28, 0, 4)
	return binary.BigEndian.AppendUint32(b, sum)
}

// randomRequest is good about half of the time.
func randomRequest(random *rand.Rand) []byte {
	kinds := []uint16{attributeSoftware, attributeFingerprint, 0x0020, 0x7f01}
	var all []attribute
	for range random.IntN(5) {
		all = append(all, attribute{kinds[random.IntN(len(kinds))], make([]byte, random.IntN(12))})
	}
	named := attribute{attributeSoftware, []byte(software)}
	if random.IntN(4) > 0 {
		at := random.IntN(len(all) + 1)
		all = append(all[:at:at], append([]attribute{named}, all[at:]...)...)
	}
	b := attributes(all...)
	if random.IntN(4) > 0 {
		b = signed(b)
	}
	if random.IntN(4) == 0 {
		b[random.IntN(len(b))] ^= 1 << random.IntN(8)
	}
	if random.IntN(8) == 0 {
		b = b[:random.IntN(len(b)+1)]
	}
	return b
}
