package home

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Constants of 9.1 about choosing.
const (
	historyWindow = 5*time.Minute + 5*time.Second
	leastGain     = 10 * time.Millisecond
	heardWindow   = 8 * time.Second
	keepWindow    = 120 * time.Second

	// Ours: a Schedule makes no more reports than this within the window.
	historyMax = 512
)

// Circumstances is what the choice depends on besides reports.
type Circumstances struct {
	// Regions is the map as it is now. Only what is in it becomes or stays home.
	Regions []Region

	// Scores is HomeParams.RegionScore of the map: factors on the latencies; below
	// 1 attracts (8.1).
	Scores map[int]float64

	// Forced becomes home whenever it is alive. 0 means none.
	Forced int

	// Heard is when anything was last received from a region we are connected to.
	Heard map[int]time.Time
}

// A Decision is the home and why it is.
type Decision struct {
	Home   int // 0 if nothing answered and nothing was heard; see [Adopt]
	Before int // home until now, 0 if there was none
	Reason Reason

	// Nearest is the region with the least of Best among those that answered, 0 if
	// none did. It differs from Home if the old home was kept or another is forced.
	Nearest int

	// Best has the latency that each region was judged by: its least within the
	// last 5 minutes, times its score.
	Best map[int]time.Duration
}

// A Reason says why a region is home.
type Reason string

// The reasons.
const (
	Nearest     Reason = "it is the nearest"
	SmallGain   Reason = "it was home, and the nearest is not much nearer"
	StillHeard  Reason = "it was home and did not answer, but has just been heard"
	Forced      Reason = "it is forced"
	KeptNoData  Reason = "it was home, and nothing answered"
	NothingHome Reason = "nothing answered"
)

// A Chooser remembers reports and the home that followed from them. The zero
// Chooser is ready to use.
type Chooser struct {
	history []past
	home    int
}

type past struct {
	at      time.Time
	latency map[int]time.Duration
}

// Home returns the region that the last report led to, 0 if to none.
func (c *Chooser) Home() int { return c.home }

// Changed tells that the definition of a region has changed: it is not home any
// more, so that the next report chooses anew (10.6). A region that has left the map
// needs no telling.
func (c *Chooser) Changed(region int) {
	if c.home == region {
		c.home = 0
	}
}

// Keep tells that the region that was chosen last did not become home, and what is.
func (c *Chooser) Keep(region int) { c.home = region }

// Choose adds a report, made up to now, and returns the home (9.5).
//
// The old home is kept unless the best latency of another within the last 5 minutes
// is at least 10 ms and at least a third below what the old home took just now.
func (c *Chooser) Choose(now time.Time, report *Report, is Circumstances) Decision {
	allowed := make(map[int]bool, len(is.Regions))
	for i := range is.Regions {
		if is.Regions[i].CanBeHome() {
			allowed[is.Regions[i].ID] = true
		}
	}
	current := known(report.Latency, allowed)
	c.remember(now, report.Latency)

	old := c.home
	if !allowed[old] {
		old = 0
	}
	best := c.best(allowed, is.Scores)
	nearest := leastBest(current, best, old)
	recent := func(region int) bool {
		at := is.Heard[region]
		return at.After(report.Start) || at.After(now.Add(-heardWindow))
	}

	d := Decision{Home: nearest, Before: c.home, Reason: Nearest, Nearest: nearest, Best: best}
	if old != 0 && nearest != old {
		took, answered := current[old]
		switch {
		case answered && smallGain(scaled(took, is.Scores[old]), best[nearest]):
			d.Home, d.Reason = old, SmallGain
		case !answered && recent(old):
			d.Home, d.Reason = old, StillHeard
		}
	}
	if allowed[is.Forced] && (current[is.Forced] > 0 || recent(is.Forced)) {
		d.Home, d.Reason = is.Forced, Forced
	}
	if d.Home == 0 {
		d.Reason = NothingHome
		if old != 0 && is.Heard[old].After(now.Add(-keepWindow)) {
			d.Home, d.Reason = old, KeptNoData
		}
	}
	c.home = d.Home
	return d
}

// smallGain is true if moving from a home that took old to a region whose best is
// other would gain too little. Both bounds are
// strict: exactly 10 ms and exactly two thirds are enough to move.
func smallGain(old, other time.Duration) bool { return old-other < leastGain || other > old/3*2 }

// remember adds latencies to the history and drops what is too old, or from the
// future because the clock was set back.
func (c *Chooser) remember(now time.Time, latency map[int]time.Duration) {
	c.history = append(c.history, past{now, maps.Clone(latency)})
	c.history = slices.DeleteFunc(c.history, func(p past) bool {
		age := now.Sub(p.at)
		return age < 0 || age > historyWindow
	})
	if n := len(c.history); n > historyMax {
		c.history = slices.Delete(c.history, 0, n-historyMax)
	}
}

// best returns the least latency of each region in the history, times its score.
func (c *Chooser) best(allowed map[int]bool, scores map[int]float64) map[int]time.Duration {
	best := make(map[int]time.Duration)
	for _, p := range c.history {
		for region, took := range known(p.latency, allowed) {
			lower(best, region, took)
		}
	}
	for region, took := range best {
		best[region] = scaled(took, scores[region])
	}
	return best
}

// leastBest returns the region of current with the least best. Among equals the old
// home wins, then the lowest number: a peer with equals to choose from must not
// move at each report.
func leastBest(current, best map[int]time.Duration, old int) int {
	found := 0
	for _, region := range slices.Sorted(maps.Keys(current)) {
		if found == 0 || best[region] < best[found] || best[region] == best[found] && region == old {
			found = region
		}
	}
	return found
}

// known returns the latencies that count.
func known(latency map[int]time.Duration, allowed map[int]bool) map[int]time.Duration {
	kept := make(map[int]time.Duration, len(latency))
	for region, took := range latency {
		if allowed[region] && took > 0 {
			kept[region] = took
		}
	}
	return kept
}

// scaled multiplies a latency by a score.
func scaled(took time.Duration, score float64) time.Duration {
	if !(score > 0) || score == 1 { // also if it is not a number
		return took
	}
	product := float64(took) * score
	if product >= math.MaxInt64 {
		return math.MaxInt64
	}
	return max(time.Duration(product), 1)
}

// Adopt returns the home to use after a decision for home: that one, or with none
// the region that is home currently, or with none of that a region by lot, so that
// a host on which nothing can be measured is not without a home (9.6). The lot is
// to be drawn once for the life of the process. It returns 0 only if no region of
// the map can be home.
func Adopt(home, currently int, regions []Region, lot uint64) int {
	var ids []int
	for i := range regions {
		if regions[i].CanBeHome() {
			ids = append(ids, regions[i].ID)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for _, region := range []int{home, currently} {
		if slices.Contains(ids, region) {
			return region
		}
	}
	if len(ids) == 0 {
		return 0
	}
	return ids[lot%uint64(len(ids))]
}
