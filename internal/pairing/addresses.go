package pairing

import (
	"crypto/sha256"
	"net/netip"

	"github.com/detour-relay/detour/key"
)

// Addresses are those of a key: one of 100.64.0.0/10 and one of fd00::/8. They follow from
// the key, so nobody gives them out; of two keys the IPv4 addresses are the same in one of
// four million cases.
func Addresses(k key.Public) [2]netip.Addr {
	sum := sha256.Sum256(append([]byte("detour pairing 1: addresses"), k[:]...))
	four := [4]byte{100, 64 | sum[0]&63, sum[1], sum[2]}
	switch four[3] {
	case 0: // some take it for that of a network
		four[3] = 1
	case 255: // and this for everybody's
		four[3] = 254
	}
	var six [16]byte
	copy(six[:], sum[8:])
	six[0] = 0xfd
	return [2]netip.Addr{netip.AddrFrom4(four), netip.AddrFrom16(six)}
}
