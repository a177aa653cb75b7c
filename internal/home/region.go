package home

import (
	"net/netip"
)

// A Region is what the choice of a home needs to know of a region of the DERP map
// (8.2).
type Region struct {
	ID    int    // no two have the same
	Nodes []Node // in order of priority

	// Avoid keeps the region out of incremental reports while it is not home, and
	// out of the fallback. It can become home in a full report.
	Avoid bool

	// NoMeasureNoHome keeps it out of everything here.
	NoMeasureNoHome bool
}

// A Node is one relay of a region, with the fields as they stand in the map (8.3).
type Node struct {
	HostName   string
	IPv4, IPv6 string // an address, "" to look HostName up, "none" if there is none of that family
	STUNPort   int    // 0 means 3478, a negative one that there is no STUN
	STUNOnly   bool   // not a relay, so nothing to time over HTTPS
	STUNTestIP string // for tests: where STUN goes instead
	CanPort80  bool   // port 80 tells whether a captive portal is in the way
}

const noAddress = "none"

// CanBeHome is true of regions that may be measured and chosen.
func (r *Region) CanBeHome() bool { return r.ID > 0 && !r.NoMeasureNoHome && len(r.Nodes) > 0 }

// relays is true if a node of the region can be reached over HTTPS.
func (r *Region) relays() bool {
	for _, n := range r.Nodes {
		if !n.STUNOnly {
			return true
		}
	}
	return false
}

// A Family is 4 or 6, as in IPv4 and IPv6.
type Family uint8

// The families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// holds is true if addr can be sent to over a socket of the family, and is not one
// of IPv4 in IPv6's clothes: that would measure the wrong family.
func (f Family) holds(addr netip.Addr) bool {
	if f == IPv4 {
		return addr.Is4()
	}
	return addr.Is6() && !addr.Is4In6()
}

// Families tells which address families this host has.
type Families struct{ IPv4, IPv6 bool }

func (fs Families) has(f Family) bool {
	if f == IPv4 {
		return fs.IPv4
	}
	return fs.IPv6
}

// A Target is where a probe goes.
type Target struct {
	Addr netip.Addr // not valid if Host is to be looked up, for addresses of the probe's family
	Host string
	Port uint16
}

// target returns where a probe of the node goes over a family, or false if that is
// nowhere.
func (n *Node) target(f Family) (Target, bool) {
	field := n.IPv4
	if f == IPv6 {
		field = n.IPv6
	}
	port := n.STUNPort
	if port == 0 {
		port = 3478
	}
	if field == noAddress || port < 0 || port > 0xffff {
		return Target{}, false
	}
	to := Target{Host: n.HostName, Port: uint16(port)}
	if n.STUNTestIP != "" {
		field = n.STUNTestIP
	}
	if field == "" {
		return to, n.HostName != ""
	}
	addr, err := netip.ParseAddr(field)
	to.Addr = addr
	return to, err == nil && f.holds(addr)
}

// isTest is true of nodes that are probed whatever interfaces this host has.
func (n *Node) isTest() bool { return n.STUNTestIP != "" || n.IPv4 == "127.0.0.1" }
