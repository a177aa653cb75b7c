package home

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// A Round is one round of measuring: it turns answers to probes into a [Report].
//
// Its user sends what [Round.Due] returns, waits for answers until [Round.Wake],
// and repeats this until [Round.Over].
type Round struct {
	questions Questions
	start     time.Time
	plan      []Probe
	next      int         // index in plan
	open      map[set]int // those that may still get an answer: how many of their probes are not lost
	planned   map[set]struct{}
	end       time.Time // at the latest

	report     Report
	firstNode4 seat // which saw us as report.Public4
}

// A set is the probes of one region over one family.
type set struct {
	region int
	family Family
}

// A seat is a node's place in the map.
type seat struct{ region, node int }

func (p *Probe) set() set { return set{p.Region, p.Family} }

// NewRound plans a round that starts now. It keeps q.Regions and q.Last, which must
// not change while it lasts.
func NewRound(q Questions, now time.Time) *Round {
	r := &Round{
		questions: q, start: now, plan: Plan(q), end: now.Add(stunLimit),
		open: make(map[set]int), planned: make(map[set]struct{}),
		report: Report{
			Start: now, Full: q.Full,
			Latency:  make(map[int]time.Duration),
			Latency4: make(map[int]time.Duration),
			Latency6: make(map[int]time.Duration),
		},
	}
	for i := range r.plan {
		r.open[r.plan[i].set()]++
		r.planned[r.plan[i].set()] = struct{}{}
	}
	return r
}

// Due returns the probes to send now; each is returned once. A set ends if one of
// its probes would add nothing.
func (r *Round) Due(now time.Time) []Probe {
	var due []Probe
	for r.next < len(r.plan) && !r.Over(now) {
		p := &r.plan[r.next]
		if now.Before(r.start.Add(p.Delay)) {
			break
		}
		r.next++
		if _, ok := r.open[p.set()]; !ok {
			continue
		}
		if !r.helps(p) {
			delete(r.open, p.set())
			continue
		}
		due = append(due, *p)
	}
	return due
}

// helps is true if an answer to the probe would tell something new.
func (r *Round) helps(p *Probe) bool {
	if _, ok := r.report.Latency[p.Region]; !ok {
		return true
	}
	if p.Family == IPv6 {
		return len(r.report.Latency6) == 0
	}
	return r.report.MappingVaries == Unknown
}

// Answer takes the answer to a probe of this round: how long it took, and as whom
// the node saw us. What comes when the round is over is ignored, and so is an
// address of the wrong family.
func (r *Round) Answer(p Probe, took time.Duration, mapped netip.AddrPort, now time.Time) {
	if _, ok := r.planned[p.set()]; !ok || r.Over(now) {
		return
	}
	delete(r.open, p.set())
	took = min(max(took, 1), ReportLimit) // a coarse clock may say 0
	r.report.UDP = true
	if p.Family == IPv4 {
		lower(r.report.Latency4, p.Region, took)
	} else {
		lower(r.report.Latency6, p.Region, took)
	}
	if isNew := lower(r.report.Latency, p.Region, took); isNew {
		r.stopSoon(now)
	}
	mapped = netip.AddrPortFrom(mapped.Addr().Unmap(), mapped.Port())
	if p.Family.holds(mapped.Addr()) {
		r.seenAs(p, mapped)
	}
}

// Lost tells that a probe of this round could not be sent: there is no address of
// its family, or no socket. A set all of whose probes are lost is not waited for.
func (r *Round) Lost(p Probe) {
	if left, ok := r.open[p.set()]; ok {
		if left--; left > 0 {
			r.open[p.set()] = left
		} else {
			delete(r.open, p.set())
		}
	}
}

// stopSoon ends the round a moment after enough regions have answered: those that
// matter are among them, or about to be. The moment is as long as the slowest of
// them needed, or twice that in a full report.
func (r *Round) stopSoon(now time.Time) {
	enough := enoughRegions
	if r.questions.AllRegions {
		enough = enoughToExplain
	}
	if len(r.report.Latency) != enough {
		return
	}
	timeout := slices.Max(slices.Collect(maps.Values(r.report.Latency)))
	if r.questions.Full {
		timeout *= 2
	}
	if stop := now.Add(timeout); stop.Before(r.end) {
		r.end = stop
	}
}

// seenAs notes our public address. The same address from another node settles that
// the mapping does not vary, until a different one comes; from the same node it
// says nothing.
func (r *Round) seenAs(p Probe, mapped netip.AddrPort) {
	from := seat{p.Region, p.Node}
	switch {
	case p.Family == IPv6:
		if !r.report.Public6.IsValid() {
			r.report.Public6 = mapped
		}
	case !r.report.Public4.IsValid():
		r.report.Public4, r.firstNode4 = mapped, from
	case mapped != r.report.Public4:
		r.report.MappingVaries = Yes
	case r.report.MappingVaries == Unknown && from != r.firstNode4:
		r.report.MappingVaries = No
	}
}

// Over is true once nothing more is to be sent or waited for: all sets have ended,
// enough regions have answered a while ago, or 3 s have passed.
func (r *Round) Over(now time.Time) bool { return len(r.open) == 0 || !now.Before(r.end) }

// Wake returns when to call Due or Over again if no answer comes before.
func (r *Round) Wake() time.Time {
	for _, p := range r.plan[r.next:] {
		if _, ok := r.open[p.set()]; !ok {
			continue
		}
		if at := r.start.Add(p.Delay); at.Before(r.end) {
			return at
		}
		break
	}
	return r.end
}

// Fallback returns the regions to time over HTTPS: none if any STUN answer came,
// otherwise all that have a relay and are not to be avoided (9.4).
func (r *Round) Fallback() []int {
	if r.report.UDP {
		return nil
	}
	var regions []int
	for i := range r.questions.Regions {
		if region := &r.questions.Regions[i]; region.CanBeHome() && !region.Avoid && region.relays() {
			regions = append(regions, region.ID)
		}
	}
	return regions
}

// AnswerFallback takes how long a region needed to answer a request over a
// connection that was already up, or an echo. The least counts.
func (r *Round) AnswerFallback(region int, took time.Duration) {
	lower(r.report.Latency, region, min(max(took, 1), ReportLimit))
}

// Report returns what has been found so far. It is the caller's to keep and to
// change.
func (r *Round) Report() *Report {
	report := r.report
	report.Latency = maps.Clone(report.Latency)
	report.Latency4 = maps.Clone(report.Latency4)
	report.Latency6 = maps.Clone(report.Latency6)
	return &report
}

// lower notes a latency if it is the least of its region, and tells whether it is
// the first.
func lower(latency map[int]time.Duration, region int, took time.Duration) (isNew bool) {
	before, ok := latency[region]
	if !ok || took < before {
		latency[region] = took
	}
	return !ok
}
