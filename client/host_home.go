package client

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/home"
)

const (
	// moveTime is how long a region has to connect before it is home, and how long
	// the home may be without a connection.
	moveTime = 10 * time.Second

	// A region whose relays answer STUN, but cannot be connected to, is no home for
	// so long; doubled each time.
	firstDown = time.Minute
	lastDown  = 16 * time.Minute
)

// homekeeper moves the home from one region to another. A region is connected to
// before it becomes home, and the one before is let go afterwards; so nobody who
// knows only the old home loses us meanwhile.
type homekeeper struct {
	home     Home             // Region 0: none yet
	wanted   int              // the region to be home; 0: none
	found    Home             // what led to wanted
	fresh    bool             // found is to be reported
	apart    time.Time        // when we had no connection to wanted first; zero: we have one
	down     map[int]downtime // regions that could not be connected to
	lot      uint64           // for when nothing can be measured
	believed []int            // regions that others may have believed to be home, a moment ago
}

// downtime is of a region whose relays cannot be connected to, although they may
// answer STUN.
type downtime struct {
	until time.Time
	times int
}

func newHomekeeper() homekeeper { return homekeeper{lot: rand.Uint64(), down: make(map[int]downtime)} }

// want says which region is to be home, 0 if none can be, and what led to it.
func (d *driver) want(region int, found Home, now time.Time) {
	if region == 0 {
		return
	}
	found.Region = region
	d.found, d.fresh = found, found.Report.Full
	if region == d.wanted {
		return
	}
	if r := d.host.region(d.wanted); r != nil && d.wanted != d.home.Region {
		r.setHome(false) // it was to be home, but did not become it
	}
	d.wanted, d.apart = region, now
	d.host.openHome(region)
}

// wantOnly wants the only region that can be home, if there is but one: it need not
// be measured first.
func (d *driver) wantOnly() {
	var can []int
	for i := range d.regions {
		if d.regions[i].CanBeHome() {
			can = append(can, d.regions[i].ID)
		}
	}
	if len(can) == 1 && d.wanted == 0 {
		d.want(can[0], Home{Reason: "it is the only one", Nearest: can[0]}, time.Now())
	}
}

// keepHome makes the wanted region home once we are connected to it.
func (d *driver) keepHome() {
	if d.wanted == 0 {
		return
	}
	now := time.Now()
	r := d.host.openHome(d.wanted)
	switch {
	case r != nil && r.connected():
		d.apart = time.Time{}
		delete(d.down, d.wanted)
		d.moveHome()
	case d.apart.IsZero():
		d.apart = now
		d.schedule.Trigger(home.Failure)
	case r == nil || now.Sub(d.apart) >= moveTime:
		d.giveUp(now)
	}
}

// moveHome makes found the home, and has it reported if that is news.
func (d *driver) moveHome() {
	if d.home.Region != d.wanted {
		d.host.log.Info("home", "region", d.wanted, "before", d.home.Region, "reason", d.found.Reason)
		d.host.setHome(d.wanted)
		d.host.stats.moves.Add(1)
		d.fresh = true
	}
	d.home = d.found
	if d.fresh {
		d.fresh = false
		d.host.reporter.Offer(d.home)
	}
}

// giveUp notes that the wanted region cannot be connected to, and has the home
// chosen anew. The region is tried all the same.
func (d *driver) giveUp(now time.Time) {
	before := d.down[d.wanted]
	if now.Before(before.until) {
		return
	}
	lasts := min(firstDown<<min(before.times, 10), lastDown)
	d.down[d.wanted] = downtime{now.Add(lasts), before.times + 1}
	d.chooser.Keep(d.home.Region)
	d.schedule.Trigger(home.Failure)
	d.host.log.Warn("no relay of the region can be reached; another becomes home if it answers", "region", d.wanted)
}

// eligible leaves out the regions that cannot be connected to, but only if others
// answer: if none does, the trouble is here.
func (d *driver) eligible(latency map[int]time.Duration, now time.Time) []home.Region {
	up := slices.DeleteFunc(slices.Clone(d.regions), func(r home.Region) bool { return now.Before(d.down[r.ID].until) })
	for i := range up {
		if latency[up[i].ID] > 0 && up[i].CanBeHome() {
			return up
		}
	}
	return d.regions
}

// mustStay reports whether the home is not to be left for another that is only
// nearer: while others cannot be told, and know of us already, unless it is the one
// where they believe us to be.
func (d *driver) mustStay(to int) bool {
	reported, pending, _ := d.host.reporter.Taken()
	return reported != 0 && !pending.IsZero() && to != reported && to != d.home.Region && d.homeConnected()
}

// keepReported keeps the regions open that others may believe to be our home, and one
// that they have ceased to for a while more, as they hear of it one after the other.
func (d *driver) keepReported() {
	believed := d.host.reporter.Believed()
	for _, id := range d.believed {
		if r := d.host.region(id); r != nil && !slices.Contains(believed, id) {
			r.lastSent.Store(int64(d.host.now()))
		}
	}
	for _, id := range believed {
		if id != 0 {
			d.host.open(id)
		}
	}
	d.believed = believed
}

// forgetHome is for when a region is not in the map any more.
func (d *driver) forgetHome(region int) {
	if d.wanted == region {
		d.wanted, d.apart = 0, time.Time{}
	}
	if d.home.Region == region {
		d.home = Home{}
		d.host.setHome(0)
	}
}

func (d *driver) homeConnected() bool {
	r := d.host.region(d.home.Region)
	return r != nil && r.connected()
}

// untilDeadline returns when keepHome has something to do, if nothing happens
// before.
func (d *driver) untilDeadline(now time.Time) time.Duration {
	if d.wanted == 0 || d.apart.IsZero() || now.Before(d.down[d.wanted].until) {
		return time.Minute
	}
	return max(moveTime-now.Sub(d.apart), 0)
}

// openHome returns a region that is or will be home.
func (h *Host) openHome(id int) *hostRegion {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.openLocked(id, true)
}

// region returns a region if it is open.
func (h *Host) region(id int) *hostRegion {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.regions[id]
}

// setHome tells all relays whether they are home; 0: none is. The home before stays
// open for a while, for those who have not heard of the new one.
func (h *Host) setHome(id int) {
	h.mu.Lock()
	before := h.regions[h.homeID]
	h.homeID = id
	h.mu.Unlock()
	if before != nil {
		before.lastSent.Store(int64(h.now()))
	}
	for _, r := range h.openRegions() {
		r.setHome(r.id == id)
	}
}
