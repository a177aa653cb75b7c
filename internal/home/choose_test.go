package home

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

func mapOf(ids ...int) []Region {
	var regions []Region
	for _, id := range ids {
		regions = append(regions, plain(id, 1))
	}
	return regions
}

// at a time a report from a second before it, so that heard can be between the two.
func reportOf(now time.Time, latency map[int]time.Duration) *Report {
	return &Report{Start: now.Add(-time.Second), Latency: latency}
}

func TestHomeSelectionVectors(t *testing.T) {
	text, err := os.ReadFile("../../derp/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		HomeSelection []struct {
			Name         string
			Force        int
			RegionScores map[string]float64 `json:"region_scores"`
			Steps        []struct {
				AtS       int                `json:"at_s"`
				LatencyMS map[string]float64 `json:"latency_ms"`
				Preferred int
			}
		} `json:"home_selection"`
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.HomeSelection) < 15 {
		t.Fatalf("%d vectors of home_selection, want 15", len(vectors.HomeSelection))
	}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, v := range vectors.HomeSelection {
		t.Run(v.Name, func(t *testing.T) {
			is := Circumstances{Forced: v.Force, Regions: mapOf(1, 2, 3), Scores: make(map[int]float64)}
			for id, score := range v.RegionScores {
				is.Scores[number(id)] = score
			}
			var c Chooser
			for i, step := range v.Steps {
				latency := make(map[int]time.Duration)
				for id, took := range step.LatencyMS {
					latency[number(id)] = time.Duration(took * float64(ms))
				}
				now := start.Add(time.Duration(step.AtS) * time.Second)
				if d := c.Choose(now, reportOf(now, latency), is); d.Home != step.Preferred {
					t.Errorf("step %d: home %d because %q, want %d", i, d.Home, d.Reason, step.Preferred)
				}
			}
		})
	}
}

func TestChoose(t *testing.T) {
	type step struct {
		at      int // s
		latency map[int]time.Duration
		heard   map[int]int // s
		regions []Region    // default: 1, 2, 3
		scores  map[int]float64
		forced  int
		changed int

		home   int
		reason Reason
	}
	silentMap := mapOf(1, 2)
	silentMap[0].NoMeasureNoHome = true

	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"home does not answer but was heard less than 8 s ago", []step{
			{latency: latencies(1, 20, 2, 30), home: 1, reason: Nearest},
			{at: 60, latency: latencies(2, 5), heard: map[int]int{1: 53}, home: 1, reason: StillHeard},
		}},
		{"exactly 8 s ago is too long", []step{
			{latency: latencies(1, 20, 2, 30), home: 1, reason: Nearest},
			{at: 60, latency: latencies(2, 5), heard: map[int]int{1: 52}, home: 2, reason: Nearest},
		}},
		{"hearing another region helps nobody", []step{
			{latency: latencies(1, 20, 2, 30), home: 1, reason: Nearest},
			{at: 60, latency: latencies(2, 5), heard: map[int]int{2: 60, 3: 60}, home: 2, reason: Nearest},
		}},
		{"home was heard, and answers much slower than another: hearing is no help", []step{
			{latency: latencies(1, 20, 2, 30), home: 1, reason: Nearest},
			{at: 60, latency: latencies(1, 200, 2, 5), heard: map[int]int{1: 60}, home: 2, reason: Nearest},
		}},
		{"nothing answers: home for 2 min after it was heard", []step{
			{latency: latencies(1, 20, 2, 30), home: 1, reason: Nearest},
			{at: 60, heard: map[int]int{1: 58}, home: 1, reason: StillHeard},
			{at: 120, heard: map[int]int{1: 58}, home: 1, reason: KeptNoData},
			{at: 177, heard: map[int]int{1: 58}, home: 1, reason: KeptNoData},
			{at: 178, heard: map[int]int{1: 58}, home: 0, reason: NothingHome},
			{at: 179, heard: map[int]int{1: 179}, home: 0, reason: NothingHome}, // it is no longer the old home
			{at: 180, latency: latencies(2, 30), home: 2, reason: Nearest},
		}},
		{"what history knows of a region that does not answer now does not count", []step{
			{latency: latencies(1, 20, 2, 30), home: 1, reason: Nearest},
			{at: 60, latency: latencies(2, 30, 3, 40), home: 2, reason: Nearest},
		}},
		{"the other's best counts, though it is slow now", []step{
			{latency: latencies(1, 20, 2, 29), home: 1, reason: Nearest},
			{at: 60, latency: latencies(1, 40, 2, 31), home: 1, reason: Nearest}, // 1 has the better history
			{at: 310, latency: latencies(1, 60, 2, 80), home: 2, reason: Nearest},
		}},
		{"both bounds are needed: 9.999 ms", []step{
			{latency: latencies(1, 20), home: 1, reason: Nearest},
			{at: 400, latency: map[int]time.Duration{1: 29999 * time.Microsecond, 2: 20 * ms}, home: 1, reason: SmallGain},
		}},
		{"both bounds are needed: more than two thirds", []step{
			{latency: latencies(1, 20), home: 1, reason: Nearest},
			{at: 400, latency: map[int]time.Duration{1: 300 * ms, 2: 200*ms + 1}, home: 1, reason: SmallGain},
			{at: 800, latency: map[int]time.Duration{1: 300 * ms, 2: 200 * ms}, home: 2, reason: Nearest},
		}},
		{"scores count on both sides", []step{
			{latency: latencies(1, 100, 2, 200), home: 1, reason: Nearest},
			{at: 60, latency: latencies(1, 100, 2, 200), scores: map[int]float64{1: 4}, home: 2, reason: Nearest},
			{at: 120, latency: latencies(1, 100, 2, 200), home: 1, reason: Nearest},
			{at: 180, latency: latencies(1, 100, 2, 200), scores: map[int]float64{2: 0.45}, home: 1, reason: SmallGain},
		}},
		{"scores that are none", []step{
			{latency: latencies(1, 100, 2, 200), scores: map[int]float64{1: math.NaN(), 2: math.Inf(-1)}, home: 1, reason: Nearest},
			{at: 400, latency: latencies(1, 100, 2, 200), scores: map[int]float64{1: math.Inf(1)}, home: 2, reason: Nearest},
		}},
		{"forced: while it answers or was heard", []step{
			{latency: latencies(1, 20, 2, 30), forced: 3, home: 1, reason: Nearest},
			{at: 60, latency: latencies(1, 20, 3, 900), forced: 3, home: 3, reason: Forced},
			{at: 120, latency: latencies(1, 20), forced: 3, heard: map[int]int{3: 115}, home: 3, reason: Forced},
			{at: 180, forced: 3, heard: map[int]int{3: 175}, home: 3, reason: Forced},
			{at: 240, latency: latencies(1, 20), forced: 3, home: 1, reason: Nearest},
		}},
		{"forced, but not in the map", []step{
			{latency: latencies(1, 20, 9, 1), forced: 9, heard: map[int]int{9: 0}, home: 1, reason: Nearest},
		}},
		{"home leaves the map: not kept, though it was heard", []step{
			{latency: latencies(1, 20, 2, 900), home: 1, reason: Nearest},
			{at: 60, latency: latencies(1, 20, 2, 900), heard: map[int]int{1: 60}, regions: mapOf(2, 3), home: 2, reason: Nearest},
			{at: 120, latency: latencies(1, 20, 2, 900), home: 1, reason: Nearest},
		}},
		{"home leaves the map, and nothing answers", []step{
			{latency: latencies(1, 20), home: 1, reason: Nearest},
			{at: 60, heard: map[int]int{1: 60}, regions: mapOf(2, 3), home: 0, reason: NothingHome},
		}},
		{"home must not be home any more", []step{
			{latency: latencies(1, 20, 2, 30), home: 1, reason: Nearest},
			{at: 60, latency: latencies(1, 20, 2, 30), heard: map[int]int{1: 60}, regions: silentMap, home: 2, reason: Nearest},
		}},
		{"the map is empty", []step{
			{latency: latencies(1, 20), home: 1, reason: Nearest},
			{at: 60, latency: latencies(1, 20), regions: []Region{}, home: 0, reason: NothingHome},
		}},
		{"home's definition changed: chosen anew, without hysteresis", []step{
			{latency: latencies(1, 20), home: 1, reason: Nearest},
			{at: 400, latency: latencies(1, 29, 2, 20), home: 1, reason: SmallGain},
			{at: 800, latency: latencies(1, 29, 2, 20), changed: 2, home: 1, reason: SmallGain},
			{at: 1200, latency: latencies(1, 29, 2, 20), changed: 1, home: 2, reason: Nearest},
		}},
		{"UDP becomes blocked: HTTPS is slower for all, and home stays", []step{
			{latency: latencies(1, 20, 2, 30, 3, 90), home: 1, reason: Nearest},
			{at: 30, latency: latencies(1, 26, 2, 41, 3, 120), home: 1, reason: Nearest},
			{at: 400, latency: latencies(1, 26, 2, 20, 3, 120), home: 1, reason: SmallGain},
		}},
		{"UDP becomes blocked: by HTTPS another is much nearer", []step{
			{latency: latencies(1, 80, 2, 85), home: 1, reason: Nearest},
			{at: 400, latency: latencies(1, 160, 2, 90), home: 2, reason: Nearest},
		}},
		{"latencies that are none", []step{
			{latency: map[int]time.Duration{1: -ms, 2: 0, 3: 50 * ms}, home: 3, reason: Nearest},
			{at: 60, latency: map[int]time.Duration{1: math.MinInt64, 2: math.MaxInt64}, home: 2, reason: Nearest},
		}},
		{"history reaches back 5 min 5 s, and no further", []step{
			{latency: latencies(1, 20, 2, 90), home: 1, reason: Nearest},
			{at: 305, latency: latencies(1, 300, 2, 90), home: 1, reason: Nearest},
			{at: 306, latency: latencies(1, 300, 2, 90), home: 2, reason: Nearest},
		}},
		{"no region is not heard", []step{
			{heard: map[int]int{0: 0}, home: 0, reason: NothingHome},
		}},
		{"equals: the lowest, and it stays", []step{
			{latency: latencies(3, 20, 2, 20), home: 2, reason: Nearest},
			{at: 400, latency: latencies(3, 20), home: 3, reason: Nearest},
			{at: 800, latency: latencies(1, 20, 2, 20, 3, 20), home: 3, reason: Nearest},
		}},
		{"the clock is set back: the future is forgotten", []step{
			{at: 1000, latency: latencies(1, 1, 2, 50), home: 1, reason: Nearest},
			{at: 10, latency: latencies(1, 90, 2, 50), home: 2, reason: Nearest},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c Chooser
			before := 0
			for i, s := range test.steps {
				c.Changed(s.changed)
				if s.changed == before {
					before = 0
				}
				is := Circumstances{Regions: s.regions, Scores: s.scores, Forced: s.forced, Heard: make(map[int]time.Time)}
				if s.regions == nil {
					is.Regions = mapOf(1, 2, 3)
				}
				for region, s := range s.heard {
					is.Heard[region] = at(s * 1000)
				}
				now := at(s.at * 1000)
				d := c.Choose(now, reportOf(now, s.latency), is)
				if d.Home != s.home || d.Reason != s.reason || d.Before != before || c.Home() != s.home {
					t.Fatalf("step %d: home %d (before: %d) because %q, best %v; want %d (before: %d) because %q",
						i, d.Home, d.Before, d.Reason, d.Best, s.home, before, s.reason)
				}
				before = d.Home
			}
		})
	}
}

func TestScoresDoNotOverflow(t *testing.T) {
	for _, test := range []struct {
		took  time.Duration
		score float64
		want  time.Duration
	}{
		{10 * ms, 0.5, 5 * ms},
		{10 * ms, math.SmallestNonzeroFloat64, 1},
		{1 << 62, 2, math.MaxInt64},
		{math.MaxInt64, 1.5, math.MaxInt64},
		{1, math.MaxFloat64, math.MaxInt64},
		{1, math.Inf(1), math.MaxInt64},
		{math.MaxInt64, 1, math.MaxInt64},
		{10 * ms, 0, 10 * ms},
		{10 * ms, math.Inf(-1), 10 * ms},
		{10 * ms, math.NaN(), 10 * ms},
	} {
		if got := scaled(test.took, test.score); got != test.want {
			t.Errorf("%v times %v is %v, want %v", test.took, test.score, got, test.want)
		}
	}
}

// What has been heard since the report began counts however long that took.
func TestHeardDuringALongReport(t *testing.T) {
	var c Chooser
	is := Circumstances{Regions: mapOf(1, 2)}
	c.Choose(start, reportOf(start, latencies(1, 20, 2, 30)), is)
	now := at(100_000)
	is.Heard = map[int]time.Time{1: at(71_000)}
	if d := c.Choose(now, &Report{Start: at(70_000), Latency: latencies(2, 5)}, is); d.Home != 1 || d.Reason != StillHeard {
		t.Errorf("home %d because %q, want 1", d.Home, d.Reason)
	}
}

func TestDecisionExplains(t *testing.T) {
	var c Chooser
	is := Circumstances{Regions: mapOf(1, 2), Scores: map[int]float64{2: 2}}
	c.Choose(start, reportOf(start, latencies(1, 20)), is)
	d := c.Choose(at(1000), reportOf(at(1000), latencies(1, 22, 2, 7, 9, 1)), is)
	if d.Home != 1 || d.Nearest != 2 || d.Best[1] != 20*ms || d.Best[2] != 14*ms || len(d.Best) != 2 {
		t.Errorf("decision %+v, want home 1 with 20 ms, nearest 2 with twice 7 ms", d)
	}
}

// The report belongs to the caller, who may change it.
func TestChooserKeepsNoReport(t *testing.T) {
	var c Chooser
	is := Circumstances{Regions: mapOf(1, 2)}
	r := reportOf(start, latencies(1, 20, 2, 90))
	c.Choose(start, r, is)
	r.Latency[2] = 1
	if d := c.Choose(at(1000), reportOf(at(1000), latencies(1, 20, 2, 90)), is); d.Home != 1 || d.Best[2] != 90*ms {
		t.Errorf("decision %+v was made with what the caller put into an old report", d)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var c Chooser
	is := Circumstances{Regions: mapOf(1)}
	for i := range 3 * historyMax {
		now := start.Add(time.Duration(i))
		c.Choose(now, reportOf(now, latencies(1, 20)), is)
	}
	if len(c.history) != historyMax {
		t.Errorf("%d reports are kept, want %d", len(c.history), historyMax)
	}
}

// Regions whose latencies never differ by 10 ms are not worth a move.
func TestHomeNeverFlapsBetweenEquals(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		base := time.Duration(1+random.IntN(300)) * ms
		is := Circumstances{Regions: mapOf(1, 2, 3, 4)}
		var c Chooser
		now, first := start, 0
		for step := range 200 {
			latency := make(map[int]time.Duration)
			for region := 1; region <= 4; region++ {
				if region == first || random.IntN(4) > 0 {
					latency[region] = base + time.Duration(random.Int64N(int64(leastGain)))
				}
			}
			d := c.Choose(now, reportOf(now, latency), is)
			if step == 0 {
				first = d.Home
			}
			if d.Home != first && len(latency) > 0 && first != 0 {
				t.Fatalf("seed %d, step %d: moved from %d to %d with %v, best %v", seed, step, first, d.Home, latency, d.Best)
			}
			now = now.Add(time.Duration(random.IntN(400)) * time.Second)
		}
	}
}

func TestAdopt(t *testing.T) {
	regions := mapOf(7, 5, 6)
	regions[0].NoMeasureNoHome = true
	for _, test := range []struct {
		name            string
		home, currently int
		regions         []Region
		lot             uint64
		want            int
	}{
		{"the decision", 6, 5, regions, 0, 6},
		{"none: what there is", 0, 6, regions, 0, 6},
		{"none at all: by lot", 0, 0, regions, 0, 5},
		{"another lot", 0, 0, regions, 3, 6},
		{"the greatest lot", 0, 0, regions, math.MaxUint64, 6},
		{"what there is has left the map", 0, 9, regions, 2, 5},
		{"what there is must not be home", 0, 7, regions, 2, 5},
		{"an empty map", 6, 5, nil, 1, 0},
	} {
		if got := Adopt(test.home, test.currently, test.regions, test.lot); got != test.want {
			t.Errorf("%s: home %d, want %d", test.name, got, test.want)
		}
	}
}
