package client

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/home"
	"github.com/detour-relay/detour/internal/measure"
)

// driver is the goroutine of a Host that decides: which map counts, when to
// measure, which region is home, what is closed. It never waits for a relay.
type driver struct {
	host *Host

	given     *derpmap.Map // as it came
	regions   []home.Region
	scores    map[int]float64
	timeHTTPS func(context.Context, int) (time.Duration, error)

	schedule  home.Schedule
	chooser   home.Chooser
	measuring bool
	measured  chan measure.Result // has room
	last      measure.Result      // Report is nil before the first one
	mapErr    error

	homekeeper
}

func newDriver(h *Host) *driver {
	return &driver{host: h, measured: make(chan measure.Result, 1), homekeeper: newHomekeeper()}
}

func (d *driver) run() {
	if m := d.host.cfg.Map; m != nil {
		d.takeMap(m)
	}
	timer := time.NewTimer(0)
	idle := time.NewTicker(idleLook)
	defer timer.Stop()
	defer idle.Stop()
	for d.await(timer, idle) {
		d.keepHome()
		d.keepReported()
		d.beginReport()
		timer.Reset(d.wait())
		d.publish()
	}
	d.stop()
}

// await waits until something happens. It returns false when the Host is closed.
func (d *driver) await(timer *time.Timer, idle *time.Ticker) bool {
	select {
	case <-timer.C:
	case <-d.host.changed:
	case <-idle.C:
		d.host.closeIdle(append(d.host.reporter.Believed(), d.home.Region, d.wanted)...)
	case u := <-d.host.maps:
		if d.mapErr = u.err; u.m != nil && u.err == nil {
			d.takeMap(u.m)
			d.schedule.Trigger(home.MapChanged)
		}
	case result := <-d.measured:
		d.measuring = false
		d.decide(result)
	case <-d.host.network:
		d.networkChanged()
	case <-d.host.ctx.Done():
		return false
	}
	return d.host.ctx.Err() == nil
}

func (d *driver) networkChanged() {
	d.schedule.Trigger(home.NetworkChanged)
	clear(d.down)
	for _, r := range d.host.openRegions() {
		if region := r.region.Load(); region != nil {
			region.NetworkChanged()
		}
	}
}

// beginReport measures if that is due.
func (d *driver) beginReport() {
	if d.measuring || len(d.regions) == 0 {
		return
	}
	now := time.Now()
	if wait, due := d.schedule.Wait(now, d.traffic(now)); wait > 0 || !due {
		return
	}
	d.measuring = true
	d.host.stats.reports.Add(1)
	means := measure.Config{
		ListenPacket: d.host.cfg.ListenPacket, Lookup: d.host.cfg.Lookup, DialContext: d.host.cfg.Base.DialContext, HTTPS: d.timeHTTPS,
	}
	questions := home.Questions{
		Regions: d.regions, Have: measure.HostFamilies(), Full: d.schedule.Begin(now), Last: d.last.Report, Home: d.chooser.Home(),
	}
	d.host.running.Go(func() { d.measured <- measure.Run(d.host.ctx, means, questions) })
}

// traffic returns when the Host was last in use. It always is while it has no home
// to be reached at.
func (d *driver) traffic(now time.Time) time.Time {
	if !d.homeConnected() {
		return now
	}
	return d.host.lastTraffic()
}

// wait returns how long until something is to be done, if nothing happens.
func (d *driver) wait() time.Duration {
	now := time.Now()
	wait := d.untilDeadline(now)
	if d.measuring || len(d.regions) == 0 {
		return wait
	}
	report, due := d.schedule.Wait(now, d.traffic(now))
	d.host.asleep.Store(!due)
	if due {
		wait = min(wait, report)
	}
	return wait
}

// decide takes a report, and says which region is to be home.
func (d *driver) decide(result measure.Result) {
	if d.host.ctx.Err() != nil {
		return
	}
	now := time.Now()
	d.schedule.End(now, result.Report, rand.Float64())
	d.last = result
	d.host.hasIPv6.Store(len(result.Latency6) > 0)
	regions := d.eligible(result.Latency, now)
	decision := d.chooser.Choose(now, result.Report, home.Circumstances{Regions: regions, Scores: d.scores, Heard: d.host.heard()})
	adopted := home.Adopt(decision.Home, d.home.Region, regions, d.lot)
	found := newHome(decision, result)
	if d.mustStay(adopted) {
		adopted, found.Reason = d.home.Region, "it was home, and that another is could not be reported"
		d.chooser.Keep(adopted)
	}
	if decision.Home == 0 && adopted != d.home.Region {
		found.Reason = "nothing answered, so it was drawn by lot"
	}
	d.want(adopted, found, now)
}

// publish tells what has changed to those who want to know.
func (d *driver) publish() {
	s := HostState{Home: d.home, Connected: d.homeConnected(), MapErr: d.mapErr}
	s.Reported, s.Pending, s.ReportErr = d.host.reporter.Taken()
	for _, r := range d.host.openRegions() {
		s.Regions = append(s.Regions, HostRegionState{r.id, *r.state.Load()})
	}
	if before := d.host.state.Swap(&s); !before.same(&s) {
		d.host.states.Put(s)
	}
}

// stop closes all regions.
func (d *driver) stop() {
	for _, r := range d.host.openRegions() {
		r.close()
	}
}

// openRegions returns those that are open, in the order of their IDs.
func (h *Host) openRegions() []*hostRegion {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var open []*hostRegion
	for _, r := range h.regions {
		open = append(open, r)
	}
	slices.SortFunc(open, func(a, b *hostRegion) int { return a.id - b.id })
	return open
}

// heard returns when the regions were heard last.
func (h *Host) heard() map[int]time.Time {
	heard := make(map[int]time.Time)
	for _, r := range h.openRegions() {
		if region := r.region.Load(); region != nil {
			heard[r.id] = region.Heard()
		}
	}
	return heard
}

// closeIdle closes the regions that nothing was sent to for a while, and those that
// are left from an earlier map, but none of some.
func (h *Host) closeIdle(but ...int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, r := range h.regions {
		idle := h.now()-time.Duration(r.lastSent.Load()) > idleTime || h.defs[id] == nil
		if idle && !slices.Contains(but, id) {
			delete(h.regions, id)
			h.peers.ForgetRegion(r)
			r.close()
		}
	}
}
