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

// driver is the goroutine of a Node that decides: which map counts, when to measure, which region is home, what is closed. It never
// waits for a relay.
type driver struct {
	node *Node

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

func newDriver(n *Node) *driver {
	return &driver{node: n, measured: make(chan measure.Result, 1), homekeeper: newHomekeeper()}
}

func (d *driver) run() {
	if m := d.node.cfg.Map; m != nil {
		d.takeMap(m)
	}
	timer := time.NewTimer(0)
	idle := time.NewTicker(idleLook)
	defer timer.Stop()
	defer idle.Stop()
	for d.await(timer, idle) {
		d.settle()
		d.beginReport()
		timer.Reset(d.wait())
		d.publish()
	}
	d.stop()
}

// await waits until something happens. It returns false when the Node is closed.
func (d *driver) await(timer *time.Timer, idle *time.Ticker) bool {
	select {
	case <-timer.C:
	case <-d.node.changed:
	case <-idle.C:
		d.node.closeIdle(d.home.Region, d.wanted)
	case u := <-d.node.maps:
		if d.mapErr = u.err; u.m != nil && u.err == nil {
			d.takeMap(u.m)
			d.schedule.Trigger(home.MapChanged)
		}
	case result := <-d.measured:
		d.measuring = false
		d.decide(result)
	case <-d.node.network:
		d.networkChanged()
	case <-d.node.ctx.Done():
		return false
	}
	return d.node.ctx.Err() == nil
}

func (d *driver) networkChanged() {
	d.schedule.Trigger(home.NetworkChanged)
	clear(d.down)
	for _, r := range d.node.openRegions() {
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
	d.node.stats.reports.Add(1)
	means := measure.Config{
		ListenPacket: d.node.cfg.ListenPacket, Lookup: d.node.cfg.Lookup, DialContext: d.node.cfg.Base.DialContext, HTTPS: d.timeHTTPS,
	}
	questions := home.Questions{
		Regions: d.regions, Have: measure.HostFamilies(), Full: d.schedule.Begin(now), Last: d.last.Report, Home: d.chooser.Home(),
	}
	d.node.running.Go(func() { d.measured <- measure.Run(d.node.ctx, means, questions) })
}

// traffic returns when the Node was last in use. It always is while it has no home to be reached at.
func (d *driver) traffic(now time.Time) time.Time {
	if !d.homeConnected() {
		return now
	}
	return d.node.lastTraffic()
}

// wait returns how long until something is to be done, if nothing happens.
func (d *driver) wait() time.Duration {
	now := time.Now()
	wait := d.untilDeadline(now)
	if d.measuring || len(d.regions) == 0 {
		return wait
	}
	report, due := d.schedule.Wait(now, d.traffic(now))
	d.node.asleep.Store(!due)
	if due {
		wait = min(wait, report)
	}
	return wait
}

// decide takes a report, and says which region is to be home.
func (d *driver) decide(result measure.Result) {
	if d.node.ctx.Err() != nil {
		return
	}
	now := time.Now()
	d.schedule.End(now, result.Report, rand.Float64())
	d.last = result
	d.node.hasIPv6.Store(len(result.Latency6) > 0)
	regions := d.eligible(result.Latency, now)
	decision := d.chooser.Choose(now, result.Report, home.Circumstances{Regions: regions, Scores: d.scores, Heard: d.node.heard()})
	adopted := home.Adopt(decision.Home, d.home.Region, regions, d.lot)
	found := newHome(decision, result)
	if decision.Home == 0 && adopted != d.home.Region {
		found.Reason = "nothing answered, so it was drawn by lot"
	}
	d.want(adopted, found, now)
}

// publish tells what has changed to those who want to know.
func (d *driver) publish() {
	s := NodeState{Home: d.home, Connected: d.homeConnected(), MapErr: d.mapErr}
	for _, r := range d.node.openRegions() {
		s.Regions = append(s.Regions, NodeRegionState{r.id, *r.state.Load()})
	}
	if before := d.node.state.Swap(&s); !before.same(&s) {
		d.node.states.put(s)
	}
}

// stop closes all regions.
func (d *driver) stop() {
	for _, r := range d.node.openRegions() {
		r.close()
	}
}

// openRegions returns those that are open, in the order of their IDs.
func (n *Node) openRegions() []*nodeRegion {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var open []*nodeRegion
	for _, r := range n.regions {
		open = append(open, r)
	}
	slices.SortFunc(open, func(a, b *nodeRegion) int { return a.id - b.id })
	return open
}

// heard returns when the regions were heard last.
func (n *Node) heard() map[int]time.Time {
	heard := make(map[int]time.Time)
	for _, r := range n.openRegions() {
		if region := r.region.Load(); region != nil {
			heard[r.id] = region.Heard()
		}
	}
	return heard
}

// closeIdle closes the regions that nothing was sent to for a while, but not those.
func (n *Node) closeIdle(but ...int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, r := range n.regions {
		if n.now()-time.Duration(r.lastSent.Load()) > idleTime && !slices.Contains(but, id) {
			delete(n.regions, id)
			n.peers.forgetRegion(r)
			r.close()
		}
	}
}
