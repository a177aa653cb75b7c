package home

import (
	"cmp"
	"slices"
	"time"
)

// Constants of 9.1 about measuring.
const (
	// ReportLimit is how long a report may take with everything.
	ReportLimit = 5 * time.Second

	// HTTPSLimit is how long the fallback may take for one region, within
	// ReportLimit.
	HTTPSLimit = 5 * time.Second

	stunLimit       = 3 * time.Second
	fullStep        = 100 * time.Millisecond
	unknownStep     = 200 * time.Millisecond
	lateTry         = 50 * time.Millisecond // longer timeout for each try after the second
	fullTries       = 3
	homeTries       = 4
	fastTries       = 2
	fastRegions     = 2 // get fastTries
	probedRegions   = 3 // in an incremental report, besides home
	enoughRegions   = 3 // have answered: the others are not waited for much longer
	enoughToExplain = 100
)

// Questions is what a round is to measure.
type Questions struct {
	Regions []Region
	Have    Families
	Full    bool
	Last    *Report // nil if there is none
	Home    int     // as chosen after the last report; 0 if there is none

	// AllRegions waits for all regions instead of stopping soon after three: for
	// people who want to see the numbers.
	AllRegions bool
}

// A Probe is one STUN request that may be sent.
type Probe struct {
	Region int
	Node   int // index in Region.Nodes
	Family Family
	Target Target
	Delay  time.Duration // from the start of the round
}

// Plan returns the probes of a round in the order of their times (9.3). Whether one
// is sent is decided at its time, see [Round.Due].
//
// A full report asks every region three times over each family, 100 ms apart, going
// through its nodes. An incremental one asks home four times, the two fastest
// regions of the last report twice and the third once, each time after it should
// have answered.
func Plan(q Questions) []Probe {
	var plan []Probe
	if q.Full || q.Last == nil || !anyKnown(q.Last.Latency) {
		plan = planAll(q)
	} else {
		plan = planFastest(q)
	}
	slices.SortStableFunc(plan, func(a, b Probe) int { return cmp.Compare(a.Delay, b.Delay) })
	return plan
}

// planAll is the initial plan of 9.3. Regions to avoid are in it, as the
// specification has it.
func planAll(q Questions) []Probe {
	var plan []Probe
	for i := range q.Regions {
		r := &q.Regions[i]
		if !r.CanBeHome() {
			continue
		}
		for try := range fullTries {
			plan = appendTry(plan, r, try, time.Duration(try)*fullStep, q.Have)
		}
	}
	return plan
}

// planFastest is the incremental plan of 9.3.
func planFastest(q Questions) []Probe {
	var plan []Probe
	for place, r := range byLastLatency(q) {
		isHome := r.ID == q.Home
		if place >= probedRegions && !isHome {
			continue
		}
		tries := 1
		switch {
		case isHome:
			tries = homeTries
		case place < fastRegions:
			tries = fastTries
		}
		for try := range tries {
			plan = appendTry(plan, r, try, retryDelay(try, q.Last.Latency[r.ID]), families(q, place, try, isHome))
		}
	}
	return plan
}

// byLastLatency returns the regions that an incremental report may measure, the
// fastest first and unknown ones last.
func byLastLatency(q Questions) []*Region {
	var regions []*Region
	for i := range q.Regions {
		r := &q.Regions[i]
		if r.CanBeHome() && (!r.Avoid || r.ID == q.Home) {
			regions = append(regions, r)
		}
	}
	latency := q.Last.Latency
	slices.SortFunc(regions, func(a, b *Region) int {
		la, lb := latency[a.ID], latency[b.ID]
		if (la > 0) != (lb > 0) {
			if la > 0 {
				return -1
			}
			return 1
		}
		if la <= 0 {
			la, lb = 0, 0
		}
		return cmp.Or(cmp.Compare(la, lb), cmp.Compare(a.ID, b.ID))
	})
	return regions
}

// families returns over which families a try of an incremental report goes. Regions
// that are neither home nor among the fastest take turns if both families are known
// to work, and IPv6 is hardly tried if it did not work the last time.
func families(q Questions, place, try int, isHome bool) Families {
	have := q.Have
	had4, had6 := anyKnown(q.Last.Latency4), anyKnown(q.Last.Latency6)
	if !isHome && place >= fastRegions {
		if have.IPv4 && have.IPv6 && had4 && had6 {
			have = Families{IPv4: place%2 == 0, IPv6: place%2 == 1}
		}
		have.IPv6 = have.IPv6 && had6
	}
	if try > 0 {
		have.IPv6 = have.IPv6 && had6
	}
	return have
}

// retryDelay returns when a try of an incremental report starts: each waits a
// little longer than the region needed to answer the last time.
func retryDelay(try int, last time.Duration) time.Duration {
	step := unknownStep
	if last > 0 {
		step = min(last, ReportLimit) * 6 / 5
	}
	delay := time.Duration(try) * step
	if try > 1 {
		delay += time.Duration(try) * lateTry
	}
	return delay
}

// appendTry adds the probes of one try: one for each family that leads somewhere.
func appendTry(plan []Probe, r *Region, try int, delay time.Duration, have Families) []Probe {
	node := try % len(r.Nodes)
	n := &r.Nodes[node]
	for _, family := range []Family{IPv4, IPv6} {
		if !have.has(family) && !n.isTest() {
			continue
		}
		if to, ok := n.target(family); ok {
			plan = append(plan, Probe{Region: r.ID, Node: node, Family: family, Target: to, Delay: delay})
		}
	}
	return plan
}

func anyKnown(latency map[int]time.Duration) bool {
	for _, d := range latency {
		if d > 0 {
			return true
		}
	}
	return false
}
