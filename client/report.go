package client

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/internal/home"
	"github.com/detour-relay/detour/internal/measure"
)

// Home is the region that a peer stays connected to, and what led to it.
type Home struct {
	Region  int    // 0: none, because nothing answered
	Reason  string // why it is this one, in words
	Nearest int    // the region with the least latency of late, times its score in the map; 0: none
	Report  Report // the latest one

	// Unusable is for a home that Netcheck found: why none of the region's relays
	// can be connected to, as far as the map says: it has only nodes for STUN, or
	// none that a connection could be made to. A Host leaves such a region. nil:
	// there is one.
	Unusable error
}

func (h Home) region() int { return h.Region }

// Report is what one round of measuring found.
type Report struct {
	Start time.Time
	Full  bool // all regions were measured; otherwise only the nearest and home
	UDP   bool // any STUN answer came

	// Latency is the least that each region answered in: by STUN, or without UDP
	// over HTTPS. Regions that did not answer, or were not waited for because
	// nearer ones had answered, are missing.
	Latency            map[int]time.Duration
	Latency4, Latency6 map[int]time.Duration // by STUN over one family
	Failed             map[int]error         // why regions could not be asked: by STUN, or without UDP over HTTPS

	Public4, Public6 netip.AddrPort // our address as the first region that answered saw it; invalid: not known
	MappingVaries    *bool          // other regions see us at another IPv4 address or port; nil: not known
	CaptivePortal    bool           // without UDP: something else answers on port 80 of relays
}

// DERPLatency returns the latencies in the form in which coordination servers take
// them: seconds by region and family, such as "900-v4". What was timed over HTTPS
// counts as IPv4.
func (r *Report) DERPLatency() map[string]float64 {
	latency := make(map[string]float64)
	add := func(from map[int]time.Duration, family string) {
		for region, took := range from {
			latency[fmt.Sprintf("%d-%s", region, family)] = took.Seconds()
		}
	}
	if !r.UDP {
		add(r.Latency, "v4")
	}
	add(r.Latency4, "v4")
	add(r.Latency6, "v6")
	return latency
}

func newHome(decision home.Decision, result measure.Result) Home {
	h := Home{
		Region: decision.Home, Reason: string(decision.Reason), Nearest: decision.Nearest,
		Report: Report{
			Start: result.Start, Full: result.Full, UDP: result.UDP,
			Latency: result.Latency, Latency4: result.Latency4, Latency6: result.Latency6, Failed: result.Failed,
			Public4: result.Public4, Public6: result.Public6, CaptivePortal: result.CaptivePortal,
		},
	}
	if result.MappingVaries != home.Unknown {
		varies := result.MappingVaries == home.Yes
		h.Report.MappingVaries = &varies
	}
	return h
}
