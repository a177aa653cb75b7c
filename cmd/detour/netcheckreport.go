package main

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
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
}

func newNetcheckReport(m *derpmap.Map, found client.Home) netcheckReport {
	r := netcheckReport{
		UDP: found.Report.UDP, IPv4: len(found.Report.Latency4) > 0, IPv6: len(found.Report.Latency6) > 0,
		PublicIPv4: addrText(found.Report.Public4), PublicIPv6: addrText(found.Report.Public6),
		MappingVaries: found.Report.MappingVaries, CaptivePortal: found.Report.CaptivePortal,
		Home: found.Region, Reason: found.Reason,
	}
	for _, id := range m.IDs() {
		r.Regions = append(r.Regions, newNetcheckRegion(id, m.Regions[id], &found.Report))
	}
	slices.SortStableFunc(r.Regions, nearestFirst)
	return r
}

func newNetcheckRegion(id int, region *derpmap.Region, found *client.Report) netcheckRegion {
	r := netcheckRegion{
		Region: id, Code: region.RegionCode, Name: region.RegionName,
		LatencyMS: inMS(found.Latency, id), IPv4MS: inMS(found.Latency4, id), IPv6MS: inMS(found.Latency6, id),
	}
	if r.LatencyMS == nil {
		r.WhyNot = whyNot(region, found.UDP, found.Failed[id])
	}
	return r
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
