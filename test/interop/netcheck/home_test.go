package netcheck

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
)

const (
	ms       = time.Millisecond
	reportOf = 3 * time.Second // a report that waits for a region in vain
)

// away puts pairs of region and milliseconds into a map.
func away(pairs ...int) map[int]time.Duration {
	m := make(map[int]time.Duration)
	for pair := range slices.Chunk(pairs, 2) {
		m[pair[0]] = time.Duration(pair[1]) * ms
	}
	return m
}

func exactly(region int, d time.Duration) map[int]time.Duration {
	return map[int]time.Duration{region: d}
}

// later is a time by which earlier reports have left the history.
func later(n int) time.Duration { return time.Duration(n) * 400 * time.Second }

var homes = []struct {
	name    string
	regions int // default: 3
	change  func(regions map[int]*tailcfg.DERPRegion)
	steps   []step
}{
	{name: "the nearest", steps: []step{
		{away: away(1, 20, 2, 7, 3, 90), home: 2},
	}},
	{name: "nothing answers", steps: []step{
		{home: 0},
		{at: time.Minute, away: away(3, 90), home: 3},
	}},
	{name: "exactly 10 ms and exactly two thirds are enough", steps: []step{
		{away: away(1, 20), home: 1},
		{at: later(1), away: away(1, 30, 2, 20), home: 2},
	}},
	{name: "exactly 10 ms is enough, and not a nanosecond less", steps: []step{
		{away: away(1, 20), home: 1},
		{at: later(1), away: map[int]time.Duration{1: 25*ms - 1, 2: 15 * ms}, home: 1},
		{at: later(2), away: map[int]time.Duration{1: 25 * ms, 2: 15 * ms}, home: 2},
	}},
	{name: "more than two thirds is not enough, however much it is", steps: []step{
		{away: away(1, 20), home: 1},
		{at: later(1), away: map[int]time.Duration{1: 300 * ms, 2: 200*ms + 1}, home: 1},
		{at: later(2), away: map[int]time.Duration{1: 300*ms + 2, 2: 200*ms + 1}, home: 1}, // a third is rounded down
		{at: later(3), away: map[int]time.Duration{1: 300*ms + 3, 2: 200*ms + 1}, home: 2},
	}},
	{name: "the other's best counts, though it is slow now", steps: []step{
		{away: away(1, 20, 2, 29), home: 1},
		{at: 60 * time.Second, away: away(1, 40, 2, 33), home: 1},
		{at: 310 * time.Second, away: away(1, 60, 2, 81), home: 2},
	}},
	{name: "history reaches back 5 min 5 s", steps: []step{
		{away: away(1, 20, 2, 90, 3, 151), home: 1},
		{at: 305 * time.Second, away: away(1, 140, 2, 90, 3, 151), home: 1},
	}},
	{name: "history reaches no nanosecond further", steps: []step{
		{away: away(1, 20, 2, 90, 3, 151), home: 1},
		{at: 305*time.Second + 1, away: away(1, 140, 2, 90, 3, 151), home: 2},
	}},
	{name: "home does not answer", steps: []step{
		{away: away(1, 20, 2, 30, 3, 99), home: 1},
		{at: 60 * time.Second, away: away(2, 31, 3, 97), home: 2},
	}},
	{name: "home does not answer, but was heard less than 8 s ago", steps: []step{
		{away: away(1, 20, 2, 30, 3, 99), home: 1},
		{at: 60 * time.Second, away: away(2, 5), heard: exactly(1, reportOf-8*time.Second+1), home: 1},
	}},
	{name: "home does not answer, and was heard exactly 8 s ago", steps: []step{
		{away: away(1, 20, 2, 30, 3, 99), home: 1},
		{at: 60 * time.Second, away: away(2, 5), heard: exactly(1, reportOf-8*time.Second), home: 2},
	}},
	{name: "home does not answer, but was heard during the report", steps: []step{
		{away: away(1, 20, 2, 30, 3, 99), home: 1},
		{at: 60 * time.Second, away: away(2, 5), heard: exactly(1, time.Second), home: 1},
	}},
	{name: "hearing another region helps nobody", steps: []step{
		{away: away(1, 20, 2, 30, 3, 99), home: 1},
		{at: 60 * time.Second, away: away(2, 31, 3, 97), heard: map[int]time.Duration{2: 0, 3: 0}, home: 2},
	}},
	{name: "home was heard, but answers much slower than another", steps: []step{
		{away: away(1, 20, 2, 30, 3, 99), home: 1},
		{at: 60 * time.Second, away: away(1, 203, 2, 5, 3, 97), heard: exactly(1, 0), home: 2},
	}},
	{name: "nothing answers: home for 2 min after it was heard", steps: []step{
		{away: away(1, 20, 2, 30, 3, 99), home: 1},
		{at: 60 * time.Second, heard: exactly(1, 0), home: 1},
		{at: 120 * time.Second, heard: exactly(1, -60*time.Second), home: 1},
		{at: 180 * time.Second, heard: exactly(1, reportOf-120*time.Second+1), home: 1},
		{at: 240 * time.Second, heard: exactly(1, reportOf-120*time.Second), home: 0},
		{at: 250 * time.Second, heard: exactly(1, 0), home: 0}, // it is no longer the old home
		{at: 260 * time.Second, away: away(2, 31, 3, 97), home: 2},
	}},
	{name: "scores", steps: []step{
		{away: away(1, 100, 2, 180, 3, 201), scores: map[int]float64{2: 0.5}, home: 2},
		{at: 60 * time.Second, away: away(1, 100, 2, 180, 3, 201), scores: map[int]float64{2: 0.5, 3: 0.01}, home: 3},
		{at: 120 * time.Second, away: away(1, 100, 2, 180, 3, 201), scores: map[int]float64{3: 4}, home: 1},
		{at: 180 * time.Second, away: away(1, 100, 2, 180, 3, 201), scores: map[int]float64{2: 0.45}, home: 1},
	}},
	{name: "scores that are none", steps: []step{
		{away: away(1, 100, 2, 180, 3, 201), scores: map[int]float64{1: 0, 2: -1, 3: 1}, home: 1},
	}},
	{name: "scores and exact bounds", steps: []step{
		{away: away(1, 20), home: 1},
		{at: later(1), away: map[int]time.Duration{1: 60*ms - 2, 2: 40 * ms}, scores: map[int]float64{1: 0.5, 2: 0.5}, home: 1},
		{at: later(2), away: map[int]time.Duration{1: 60 * ms, 2: 40 * ms}, scores: map[int]float64{1: 0.5, 2: 0.5}, home: 2},
	}},
	{name: "forced, while it is alive", steps: []step{
		{away: away(1, 20, 2, 30), forced: 3, home: 1},
		{at: 60 * time.Second, away: away(1, 20, 2, 31, 3, 700), forced: 3, home: 3},
		{at: 120 * time.Second, away: away(1, 20, 2, 31), forced: 3, heard: exactly(3, reportOf-8*time.Second+1), home: 3},
		{at: 180 * time.Second, away: away(1, 20, 2, 31), forced: 3, heard: exactly(3, reportOf-8*time.Second), home: 1},
		{at: 240 * time.Second, forced: 2, heard: exactly(2, time.Second), home: 2},
		{at: 300 * time.Second, away: away(1, 20, 2, 28, 3, 99), home: 2}, // forced no more, but home
	}},
	{name: "forced, but in no map", steps: []step{
		{away: away(1, 20, 2, 30, 3, 99), forced: 9, home: 1},
	}},
	{name: "equals: home stays", steps: []step{
		{away: away(3, 20), home: 3},
		{at: later(1), away: away(1, 20, 2, 20, 3, 20), home: 3},
	}},
	{name: "most reports measure home and the nearest only", regions: 6, steps: []step{
		{away: away(1, 20, 2, 91, 3, 101, 4, 111, 5, 121, 6, 131), home: 1},
		{at: 25 * time.Second, away: away(1, 150, 2, 95, 3, 105, 4, 10, 5, 125, 6, 135), home: 1},
		{at: 300 * time.Second, away: away(1, 150, 2, 95, 3, 105, 4, 10, 5, 125, 6, 135), home: 1},
		{at: 300*time.Second + 3*time.Second, away: away(1, 150, 2, 95, 3, 105, 4, 10, 5, 125, 6, 135), home: 4},
	}},
	{name: "all are measured once the network has changed", regions: 6, steps: []step{
		{away: away(1, 20, 2, 90, 3, 101, 4, 112, 5, 123, 6, 134), home: 1},
		{at: 25 * time.Second, full: true, away: away(1, 151, 2, 95, 3, 105, 4, 10, 5, 125, 6, 135), home: 4},
	}},
	{name: "home is measured though it was slow the last time", regions: 6, steps: []step{
		{away: away(1, 20, 2, 50, 3, 61, 4, 72, 5, 83, 6, 94), home: 1},
		{at: 25 * time.Second, full: true, away: away(1, 99, 2, 51, 3, 62, 4, 74), home: 1},
		{at: 50 * time.Second, away: away(1, 21, 2, 53, 3, 63, 4, 75), home: 1},
	}},
	{
		name: "a region to avoid", regions: 4,
		change: func(r map[int]*tailcfg.DERPRegion) { *avoid(r[2]) = true },
		steps: []step{
			{away: away(1, 80, 2, 5, 3, 99, 4, 111), home: 2}, // a full report does not avoid it
			{at: 25 * time.Second, away: away(1, 80, 2, 7, 3, 98, 4, 112), home: 2},
			{at: 50 * time.Second, away: away(1, 80, 3, 98, 4, 112), home: 1},
			{at: 75 * time.Second, away: away(1, 80, 2, 5, 3, 98, 4, 112), home: 1}, // not measured: it is not home any more
		},
	},
	{
		name: "a region that must not be home",
		change: func(r map[int]*tailcfg.DERPRegion) {
			r[2].NoMeasureNoHome = true
		},
		steps: []step{
			{away: away(1, 80, 2, 5, 3, 99), home: 1},
			{at: 25 * time.Second, away: away(2, 5, 3, 98), home: 3},
		},
	},
	{
		name: "the less of IPv4 and IPv6 counts", regions: 4,
		change: func(r map[int]*tailcfg.DERPRegion) {
			for id := 1; id < 4; id++ {
				r[id].Nodes[0].IPv6 = nodeAddr6
			}
		},
		steps: []step{
			{away: away(1, 60, 2, 41, 4, 52), away6: away(1, 33, 2, 47, 3, 48), home: 1},
			{at: 25 * time.Second, away: away(1, 61, 2, 19, 4, 51), away6: away(1, 35, 2, 48, 3, 49), home: 2},
			{at: 50 * time.Second, away: away(1, 61, 2, 18, 4, 51), home: 2},
			{at: 75 * time.Second, full: true, away6: away(1, 36, 2, 46, 3, 54), home: 2},
			{at: 100 * time.Second, away6: away(3, 55), home: 3},
		},
	},
	{
		name: "a region of two nodes, of which the first is dead",
		change: func(r map[int]*tailcfg.DERPRegion) {
			living := *r[2].Nodes[0]
			living.Name = "2b"
			r[2].Nodes[0].STUNPort = firstPort
			r[2].Nodes = append(r[2].Nodes, &living)
		},
		steps: []step{
			{away: away(1, 80, 2, 5, 3, 99), home: 2},
			{at: 25 * time.Second, away: away(1, 81, 2, 6, 3, 98), home: 2},
		},
	},
}

// Each step must lead both sides to the home that is named.
func TestHomes(t *testing.T) {
	monitor := netmon.NewStatic()
	for _, test := range homes {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := newSimulation(max(test.regions, 3), monitor)
				if test.change != nil {
					test.change(sim.regions)
				}
				for i, s := range test.steps {
					theirs, ours := sim.run(t, s)
					wantSame(t, theirs, ours)
					if theirs.home != s.home || t.Failed() {
						t.Fatalf("step %d: they chose region %d, we region %d; want region %d", i, theirs.home, ours.home, s.home)
					}
				}
			})
		})
	}
}

// Where we differ on purpose: theirs keeps a home that has left the map while it is heard, although no other peer could reach it
// there any more.
func TestHomeLeavesTheMap(t *testing.T) {
	monitor := netmon.NewStatic()
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulation(3, monitor)
		if theirs, ours := sim.run(t, step{away: away(1, 20, 2, 30, 3, 40)}); theirs.home != 1 || ours.home != 1 {
			t.Fatalf("they chose region %d, we region %d; want region 1", theirs.home, ours.home)
		}
		delete(sim.regions, 1)
		theirs, ours := sim.run(t, step{at: 25 * time.Second, away: away(2, 31, 3, 41), heard: exactly(1, 0)})
		if theirs.home != 1 || ours.home != 2 {
			t.Errorf("they chose region %d, we region %d; want regions 1 and 2", theirs.home, ours.home)
		}
	})
}
