package main

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/explain"
	"github.com/detour-relay/detour/internal/pin"
)

// A netcheckReport is what "netcheck --json" prints. The JSON names are stable.
type netcheckReport struct {
	UDP           bool             `json:"udp"`            // a STUN answer came
	IPv4          bool             `json:"ipv4"`           // over IPv4
	IPv6          bool             `json:"ipv6"`           // over IPv6
	PublicIPv4    string           `json:"public_ipv4"`    // our address and port as a relay sees it; "": not known
	PublicIPv6    string           `json:"public_ipv6"`    // likewise
	MappingVaries *bool            `json:"mapping_varies"` // null: not known
	CaptivePortal bool             `json:"captive_portal"` // something else answers for relays; looked for only without UDP
	Home          int              `json:"home"`           // the region; 0: none answered
	HomeRelays    bool             `json:"home_relays"`    // it has a relay; peers cannot stay at one that has none
	Reason        string           `json:"reason"`         // why it is this one
	Regions       []netcheckRegion `json:"regions"`        // the nearest first
}

// A netcheckRegion is one that answered, or that did not.
type netcheckRegion struct {
	Region    int      `json:"region"`
	Code      string   `json:"code"`
	Name      string   `json:"name"`
	LatencyMS *float64 `json:"latency_ms"` // the least of those below, or without UDP that over HTTPS; null: none
	IPv4MS    *float64 `json:"ipv4_ms"`
	IPv6MS    *float64 `json:"ipv6_ms"`
	WhyNot    string   `json:"why_not,omitempty"` // there is no latency
	Remedy    string   `json:"remedy,omitempty"`  // what to do about that

	cause explain.Cause // of an error
}

func newNetcheckReport(m *derpmap.Map, found client.Home, caGiven bool) netcheckReport {
	r := netcheckReport{
		UDP: found.Report.UDP, IPv4: len(found.Report.Latency4) > 0, IPv6: len(found.Report.Latency6) > 0,
		PublicIPv4: addrText(found.Report.Public4), PublicIPv6: addrText(found.Report.Public6),
		MappingVaries: found.Report.MappingVaries, CaptivePortal: found.Report.CaptivePortal,
		Home: found.Region, HomeRelays: canRelay(m.Regions[found.Region]), Reason: found.Reason,
	}
	for _, id := range m.IDs() {
		r.Regions = append(r.Regions, newNetcheckRegion(id, m.Regions[id], &found.Report, caGiven))
	}
	slices.SortStableFunc(r.Regions, nearestFirst)
	return r
}

func newNetcheckRegion(id int, region *derpmap.Region, found *client.Report, caGiven bool) netcheckRegion {
	r := netcheckRegion{
		Region: id, Code: region.RegionCode, Name: region.RegionName,
		LatencyMS: inMS(found.Latency, id), IPv4MS: inMS(found.Latency4, id), IPv6MS: inMS(found.Latency6, id),
	}
	if r.LatencyMS == nil {
		err := found.Failed[id]
		r.WhyNot = whyNot(region, found.UDP, err)
		if err != nil {
			finding := explain.Explain(err, wayTo(region, caGiven))
			r.Remedy, r.cause = finding.Remedy, finding.Cause
		}
	}
	return r
}

// canRelay reports whether a region is more than somewhere to ask by STUN.
func canRelay(region *derpmap.Region) bool {
	return region != nil && slices.ContainsFunc(region.Nodes, func(n *derpmap.Node) bool { return n != nil && !n.STUNOnly })
}

// wayTo says of the first relay of a region how it was reached: failures are told of that one.
func wayTo(region *derpmap.Region, caGiven bool) explain.Way {
	words := cli.Words
	words.CertName = "CertName of the node"
	words.Insecure = "InsecureForTests of the node"
	way := explain.Way{Node: true, CA: caGiven, Words: words}
	for _, n := range region.Nodes {
		if n != nil && !n.STUNOnly {
			way.Host = cmp.Or(n.HostName, n.IPv4, n.IPv6)
			way.Pin, way.CertName = pin.Is(n.CertName), n.CertName != "" && !pin.Is(n.CertName)
			break
		}
	}
	return way
}

// whyNot says why a region has no latency.
func whyNot(region *derpmap.Region, udp bool, err error) string {
	asks := func(n *derpmap.Node) bool { return n != nil && (udp && n.STUN() != 0 || !udp && !n.STUNOnly) }
	switch {
	case err != nil:
		return "no answer: " + err.Error()
	case region.NoMeasureNoHome:
		return "not measured: NoMeasureNoHome"
	case region.Avoid && !udp:
		return "not measured over HTTPS: Avoid"
	case !slices.ContainsFunc(region.Nodes, asks) && udp:
		return "not measured: no node with STUN"
	case !slices.ContainsFunc(region.Nodes, asks):
		return "not measured: no node with HTTPS"
	}
	return "no answer"
}

// nearestFirst puts those that did not answer last.
func nearestFirst(a, b netcheckRegion) int {
	switch {
	case a.LatencyMS != nil && b.LatencyMS != nil:
		return cmp.Compare(*a.LatencyMS, *b.LatencyMS)
	case a.LatencyMS != nil:
		return -1
	case b.LatencyMS != nil:
		return 1
	}
	return 0
}

func inMS(latency map[int]time.Duration, region int) *float64 {
	took, ok := latency[region]
	if !ok {
		return nil
	}
	return new(float64(took.Microseconds()) / 1e3)
}

func addrText(addr netip.AddrPort) string {
	if !addr.IsValid() {
		return ""
	}
	return addr.String()
}
