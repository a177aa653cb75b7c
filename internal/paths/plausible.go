package paths

import "net/netip"

// lowestPort is the lowest port that is pinged because a peer has named it:
// below are services of machines that know nothing of us.
const lowestPort = 1024

// never are networks where no peer is, besides those that package netip knows.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),    // this network
	netip.MustParsePrefix("240.0.0.0/4"),  // reserved, and broadcast
	netip.MustParsePrefix("::/96"),        // IPv4, as it was written once
	netip.MustParsePrefix("64:ff9b::/32"), // IPv4, translated: whatever it leads to is named as such, too
	netip.MustParsePrefix("2001::/32"),    // IPv4, by Teredo
	netip.MustParsePrefix("2002::/16"),    // IPv4, by 6to4
	netip.MustParsePrefix("fec0::/10"),    // a site's, of old
}

// Plausible reports whether a peer can be at an address that it has named: it is that
// of one machine, which others than its neighbours reach.
func Plausible(a netip.AddrPort) bool { return a.Port() >= lowestPort && isHost(a) }

// isHost reports whether a packet can have come from an address.
func isHost(a netip.AddrPort) bool {
	ip := a.Addr()
	if !ip.IsValid() || ip.Is4In6() || ip.Zone() != "" || a.Port() == 0 || ip.IsLoopback() ||
		!ip.IsGlobalUnicast() { // multicast, link-local and unspecified ones are not
		return false
	}
	for _, n := range never {
		if n.Contains(ip) {
			return false
		}
	}
	return true
}
