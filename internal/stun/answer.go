package stun

import (
	"encoding/binary"
	"net/netip"
)

const (
	bindingSuccess            = 0x0101
	attributeXORMappedAddress = 0x0020

	familyIPv4, familyIPv6 = 1, 2
	answerIPv4, answerIPv6 = 32, 44 // bytes

	maxAnswer = answerIPv6
)

// putAnswer turns the request at the start of b, which has room for maxAnswer
// bytes, into the answer to the one who sent it, and returns its size.
// The cookie and the transaction ID stay where they are.
func putAnswer(b []byte, to netip.AddrPort) int {
	_ = b[maxAnswer-1]
	size, family := answerIPv4, uint16(familyIPv4)
	addr := to.Addr().Unmap() // a client of a dual-stack socket has an IPv4 address all the same
	if addr.Is4() {
		a := addr.As4()
		binary.BigEndian.PutUint32(b[28:], binary.BigEndian.Uint32(a[:])^cookie)
	} else {
		size, family = answerIPv6, familyIPv6
		a := addr.As16()
		for i := range a {
			b[28+i] = a[i] ^ b[4+i] // cookie, then transaction ID
		}
	}
	binary.BigEndian.PutUint16(b[0:], bindingSuccess)
	binary.BigEndian.PutUint16(b[2:], uint16(size-headerSize))
	binary.BigEndian.PutUint16(b[20:], attributeXORMappedAddress)
	binary.BigEndian.PutUint16(b[22:], uint16(size-headerSize-4))
	binary.BigEndian.PutUint16(b[24:], family)
	binary.BigEndian.PutUint16(b[26:], to.Port()^(cookie>>16))
	return size
}
