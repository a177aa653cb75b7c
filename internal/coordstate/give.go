package coordstate

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/internal/coordapi"
)

// Addresses are an index into two prefixes: that of every tailnet, 100.64.0.0/10, and
// its own /48. An index begins at 1.
const mostIndex = 1<<22 - 2 // the last address of the /10 is the broadcast's

var (
	base4 = netip.AddrFrom4([4]byte{100, 64, 0, 0})
	quad  = netip.AddrFrom4([4]byte{100, 100, 100, 100}) // Tailscale's own service, on many hosts
)

// Prefix4 is where all have their IPv4 addresses.
var Prefix4 = netip.PrefixFrom(base4, 10)

// Usable reports whether a member may have the index.
func Usable(index uint32) bool {
	return index >= 1 && index <= mostIndex && address4(index) != quad
}

func address4(index uint32) netip.Addr {
	b := base4.As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+index)
	return netip.AddrFrom4(b)
}

// Prefix6 is the tailnet's own prefix.
func (r *TailnetRecord) Prefix6() netip.Prefix {
	b := [16]byte{0xfd}
	hex.Decode(b[1:6], []byte(r.ULA[:min(len(r.ULA), 10)]))
	return netip.PrefixFrom(netip.AddrFrom16(b), 48)
}

// Addresses are those of an index.
func (r *TailnetRecord) Addresses(index uint32) []netip.Addr {
	b := r.Prefix6().Addr().As16()
	binary.BigEndian.PutUint32(b[12:], index)
	return []netip.Addr{address4(index), netip.AddrFrom16(b)}
}

// Label makes a DNS label of what somebody wants to be called. It is empty if nothing
// is left.
func Label(wanted string) string {
	b := make([]byte, 0, coordapi.MostName)
	for _, c := range []byte(strings.ToLower(wanted)) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b = append(b, c)
		case len(b) > 0 && b[len(b)-1] != '-' && (c == ' ' || c == '-' || c == '_' || c == '.'):
			b = append(b, '-')
		}
		if len(b) == coordapi.MostName {
			break
		}
	}
	return strings.TrimRight(string(b), "-")
}

// IsLabel reports whether a name is one already.
func IsLabel(name string) bool { return name != "" && Label(name) == name }

// Numbered is the first of name, name-2, name-3 and so on that is not taken.
func Numbered(name string, taken func(string) bool) string {
	for n, try := 2, name; ; n++ {
		if !taken(try) {
			return try
		}
		number := "-" + strconv.Itoa(n)
		try = strings.TrimRight(name[:min(len(name), coordapi.MostName-len(number))], "-") + number
	}
}
