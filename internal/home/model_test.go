package home

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A model is section 9.5 read aloud: it keeps every report there ever was, and
// calculates everything anew. Since equals may be told apart by any rule, it
// answers with all homes that are right.
type model struct {
	times   []time.Time
	reports []*Report
	old     int
}

func (m *model) choose(now time.Time, report *Report, is Circumstances) (right []int) {
	m.times, m.reports = append(m.times, now), append(m.reports, report)
	inMap := func(region int) bool {
		return slices.ContainsFunc(is.Regions, func(r Region) bool { return r.ID == region })
	}
	score := func(region int) float64 {
		if is.Scores[region] > 0 {
			return is.Scores[region]
		}
		return 1
	}
	best := func(region int) time.Duration {
		var found []time.Duration
		for i, r := range m.reports {
			if took, ok := r.Latency[region]; ok && now.Sub(m.times[i]) <= 305*time.Second {
				found = append(found, took)
			}
		}
		if found == nil {
			return 0
		}
		return time.Duration(float64(slices.Min(found)) * score(region))
	}
	recent := func(region int) bool {
		return is.Heard[region].After(report.Start) || is.Heard[region].After(now.Add(-8*time.Second))
	}
	old := m.old
	if !inMap(old) {
		old = 0
	}

	var picks []int
	for region := range report.Latency {
		if !inMap(region) {
			continue
		}
		switch {
		case picks == nil || best(region) < best(picks[0]):
			picks = []int{region}
		case best(region) == best(picks[0]):
			picks = append(picks, region)
		}
	}
	if picks == nil {
		picks = []int{0}
	}
	for _, pick := range picks {
		oldCur := time.Duration(float64(report.Latency[old]) * score(old))
		if old != 0 && pick != old && (oldCur != 0 || recent(old)) {
			switch {
			case oldCur-best(pick) < 10*time.Millisecond:
				pick = old
			case best(pick) > oldCur/3*2:
				pick = old
			}
		}
		if _, ok := report.Latency[is.Forced]; inMap(is.Forced) && (ok || recent(is.Forced)) {
			pick = is.Forced
		}
		if pick == 0 && old != 0 && is.Heard[old].After(now.Add(-120*time.Second)) {
			pick = old
		}
		right = append(right, pick)
	}
	return right
}

// Random reports, maps, scores and things heard: the Chooser and the model agree,
// and what is home is in the map.
func TestChooserAgreesWithTheModel(t *testing.T) {
	const regions = 5
	reasons := make(map[Reason]int)
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 2))
		var c Chooser
		var m model
		is := Circumstances{Regions: mapOf(1, 2, 3, 4, 5), Scores: map[int]float64{}, Heard: map[int]time.Time{}}
		now := start
		for step := range 150 {
			switch random.IntN(12) {
			case 0:
				is.Regions = nil
				for id := 1; id <= regions; id++ {
					if random.IntN(6) > 0 {
						is.Regions = append(is.Regions, plain(id, 1))
					}
				}
			case 1:
				is.Scores[1+random.IntN(regions)] = []float64{0, -1, 0.5, 0.9, 1, 1.1, 3}[random.IntN(7)]
			case 2:
				is.Forced = max(0, random.IntN(4*regions)-3*regions)
			case 3:
				region := 1 + random.IntN(regions)
				c.Changed(region)
				if m.old == region {
					m.old = 0
				}
			case 4:
				now = now.Add(-time.Duration(random.IntN(1000)) * ms) // must not reach back before the last report
				now = later(now, m.times)
			}
			for range random.IntN(3) {
				is.Heard[1+random.IntN(regions)] = now.Add(time.Duration(random.IntN(5000)-4000) * ms)
			}
			r := &Report{Start: now, Latency: make(map[int]time.Duration)}
			now = now.Add(time.Duration(random.IntN(5000)) * ms)
			if random.IntN(5) > 0 {
				for range 1 + random.IntN(regions) {
					r.Latency[1+random.IntN(regions)] = time.Duration(1+random.IntN(12)) * 5 * ms
				}
			}
			right := m.choose(now, r, is)
			d := c.Choose(now, r, is)
			if !slices.Contains(right, d.Home) {
				t.Fatalf("seed %d, step %d: home %d because %q, want one of %v\n%s", seed, step, d.Home, d.Reason, right, describe(now, r, is, d))
			}
			if d.Home != 0 && !slices.ContainsFunc(is.Regions, func(r Region) bool { return r.ID == d.Home }) {
				t.Fatalf("seed %d, step %d: home %d is not in the map", seed, step, d.Home)
			}
			m.old = d.Home
			reasons[d.Reason]++
			now = now.Add(time.Duration(random.IntN(60_000)) * ms)
		}
	}
	for _, reason := range []Reason{Nearest, SmallGain, StillHeard, Forced, KeptNoData, NothingHome} {
		if reasons[reason] < 50 {
			t.Errorf("%q came up %d times: this shows too little", reason, reasons[reason])
		}
	}
}

// later returns t, or the last of times if that is later.
func later(t time.Time, times []time.Time) time.Time {
	if len(times) > 0 && times[len(times)-1].After(t) {
		return times[len(times)-1]
	}
	return t
}

func describe(now time.Time, r *Report, is Circumstances, d Decision) string {
	var ids []int
	for _, region := range is.Regions {
		ids = append(ids, region.ID)
	}
	heard := make(map[int]string)
	for region, at := range is.Heard {
		heard[region] = fmt.Sprint(now.Sub(at))
	}
	return fmt.Sprintf("map %v, scores %v, forced %d, heard ago %v\nreport %v ago: %v\ndecision %+v",
		ids, is.Scores, is.Forced, heard, now.Sub(r.Start), r.Latency, d)
}
