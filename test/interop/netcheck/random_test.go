package netcheck

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tailscale.com/net/netcheck"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/logger"

	"github.com/detour-relay/detour/internal/home"
	"github.com/detour-relay/detour/test/interop/mapnode"
)

// draws makes up the course of a network. Its latencies are odd numbers of nanoseconds, so that no two things happen at one moment
// by chance: what is first then would be chance, too.
type draws struct {
	*rand.Rand
	regions map[int]*tailcfg.DERPRegion
	base    map[int]time.Duration // what regions are usually away
}

func (d draws) chance(percent int) bool { return d.IntN(100) < percent }

func (d draws) region() int { return 1 + d.IntN(len(d.regions)) }

// between is a time from a to b.
func (d draws) between(a, b time.Duration) time.Duration {
	return a + time.Duration(d.Int64N(int64(b-a)))
}

// drawFlags makes some regions special, but never all.
func (d draws) drawFlags() {
	for id := 2; id <= len(d.regions); id++ {
		*avoid(d.regions[id]) = d.chance(10)
		d.regions[id].NoMeasureNoHome = d.chance(10)
	}
}

// next draws the step after one that ended with that home.
func (d draws) next(after step, at time.Duration) step {
	s := step{at: at, away: make(map[int]time.Duration), full: d.chance(5)}
	for id := range d.regions {
		switch {
		case d.chance(10): // lost
		case d.chance(15):
			s.away[id] = d.between(ms, 900*ms)
		default:
			s.away[id] = d.base[id] + d.between(0, 30*ms)
		}
	}
	if d.chance(5) {
		clear(s.away)
	}
	if took, ok := s.away[after.home]; ok && took > 20*ms && d.chance(40) {
		s.away[d.region()] = d.nearBound(took)
	}
	if d.chance(30) {
		s.heard = map[int]time.Duration{d.region(): d.between(-12*time.Second, 3*time.Second), after.home: d.between(-130*time.Second, 0)}
	}
	if d.chance(20) {
		s.scores = map[int]float64{d.region(): d.Float64() * 2, d.region(): d.Float64() - 0.5}
	}
	if forced := d.region(); d.chance(10) && !d.regions[forced].NoMeasureNoHome {
		s.forced = forced
	}
	return s
}

// fillsPlan is true if three regions that answered the last time may be asked again. If there are fewer, theirs choose by chance
// which others to ask as well; unless there are only two anyway.
func (d draws) fillsPlan(last map[int]time.Duration) bool {
	n := 0
	for id := range last {
		if !*avoid(d.regions[id]) {
			n++
		}
	}
	return n >= 3 || len(d.regions) == 2
}

// nearBound is a latency at which a home that is so far away is just left, or just not.
func (d draws) nearBound(home time.Duration) time.Duration {
	bound := home - 10*ms
	if d.chance(50) {
		bound = home / 3 * 2
	}
	return max(bound+time.Duration(d.IntN(3)-1), 1)
}

func newDraws(seed uint64, regions map[int]*tailcfg.DERPRegion) draws {
	d := draws{rand.New(rand.NewPCG(seed, 1)), regions, make(map[int]time.Duration)}
	for id := range len(regions) {
		d.base[id+1] = d.between(2*ms, 250*ms)
	}
	return d
}

// Whatever the network does, both sides ask the same at the same moments, measure the same and choose the same home.
func TestRandomHomes(t *testing.T) {
	const sequences, steps = 300, 15
	monitor := netmon.NewStatic()
	moves := 0
	for seed := range uint64(sequences) {
		synctest.Test(t, func(t *testing.T) {
			sim := newSimulation(2+int(seed%6), monitor)
			d := newDraws(seed, sim.regions)
			d.drawFlags()
			var s step
			var last map[int]time.Duration
			at := time.Duration(0)
			for i := range steps {
				before := s.home
				s = d.next(s, at)
				s.full = s.full || !d.fillsPlan(last)
				theirs, ours := sim.run(t, s)
				wantSame(t, theirs, ours)
				if t.Failed() {
					t.Fatalf("sequence %d, step %d, after home %d: %+v", seed, i, before, s)
				}
				last = theirs.latency
				if s.home = theirs.home; s.home != before {
					moves++
				}
				at = time.Since(sim.begun) + d.pause()
			}
		})
		if t.Failed() {
			return
		}
	}
	if moves < sequences || moves > sequences*steps*3/4 {
		t.Errorf("%d moves in %d steps: the sequences test little", moves, sequences*steps)
	}
}

// pause is how long until the next report.
func (d draws) pause() time.Duration {
	switch {
	case d.chance(10):
		return d.between(time.Second, 2*time.Second)
	case d.chance(15):
		return d.between(290*time.Second, 310*time.Second)
	default:
		return d.between(20*time.Second, 26*time.Second)
	}
}

// On a grid of latencies, bounds are hit exactly and equals are common, among which theirs choose by chance and ours do not. Here
// nothing is measured: both choosers are handed the same reports.
func TestRandomHomesOnAGrid(t *testing.T) {
	const sequences, steps = 2000, 20
	equals := 0
	for seed := range uint64(sequences) {
		d := rand.New(rand.NewPCG(seed, 2))
		client := &netcheck.Client{Logf: logger.Discard}
		var chooser home.Chooser
		now := time.Unix(1e9, 0)
		for i := range steps {
			now = now.Add(time.Duration(1+d.IntN(200)) * time.Second)
			latency := drawGrid(d)
			is, dm := drawCircumstances(d)
			client.SetForcePreferredDERP(tailcfg.DERPRegionID(is.Forced))
			report := &netcheck.Report{RegionLatency: mapnode.Regions(latency)}
			client.AddReportHistoryForTest(dm, report, now)
			ours := chooser.Choose(now, &home.Report{Start: now, Latency: latency}, is)
			if int(report.PreferredDERP) == ours.Home {
				continue
			}
			if n := countNearest(latency, ours.Best); n < 2 {
				t.Fatalf("sequence %d, step %d: they chose region %d, we region %d because %q; before %d, latency %v, best %v, %+v",
					seed, i, int(report.PreferredDERP), ours.Home, ours.Reason, ours.Before, latency, ours.Best, is)
			}
			equals++
			chooser.Keep(int(report.PreferredDERP))
		}
	}
	if equals == 0 || equals > sequences*steps/10 {
		t.Errorf("of %d choices, %d differed among equals", sequences*steps, equals)
	}
}

const gridRegions = 4

func drawGrid(d *rand.Rand) map[int]time.Duration {
	latency := make(map[int]time.Duration)
	for id := 1; id <= gridRegions; id++ {
		if d.IntN(5) > 0 {
			latency[id] = time.Duration(1+d.IntN(12)) * 5 * ms
		}
	}
	return latency
}

// drawCircumstances draws scores and a forced region, in either form.
func drawCircumstances(d *rand.Rand) (home.Circumstances, *tailcfg.DERPMap) {
	is := home.Circumstances{Scores: make(map[int]float64)}
	for id := 1; id <= gridRegions; id++ {
		is.Regions = append(is.Regions, home.Region{ID: id, Nodes: []home.Node{{HostName: fmt.Sprintf("r%d.invalid", id)}}})
		if d.IntN(4) == 0 {
			is.Scores[id] = []float64{-1, 0, 0.5, 1, 1.5, 2}[d.IntN(6)]
		}
	}
	if d.IntN(8) == 0 {
		is.Forced = 1 + d.IntN(gridRegions)
	}
	return is, &tailcfg.DERPMap{HomeParams: &tailcfg.DERPHomeParams{RegionScore: mapnode.Regions(is.Scores)}}
}

// countNearest says how many of the regions that answered are as near as the nearest.
func countNearest(latency, best map[int]time.Duration) int {
	var all []time.Duration
	for id := range latency {
		all = append(all, best[id])
	}
	if len(all) == 0 {
		return 0
	}
	least := slices.Min(all)
	return len(slices.DeleteFunc(all, func(d time.Duration) bool { return d != least }))
}
