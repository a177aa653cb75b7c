package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
)

// reports collects what a Host tells its coordination server.
type reports struct {
	mu    sync.Mutex
	homes []int
}

func (r *reports) take(_ context.Context, h Home) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.homes = append(r.homes, h.Region)
	return nil
}

func (r *reports) last() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.homes) == 0 {
		return 0
	}
	return r.homes[len(r.homes)-1]
}

func (r *reports) report(cfg *HostConfig) { cfg.ReportHome = r.take }

// keepSending sends a packet to a peer every 100 ms until the Host is closed.
func (w *world) keepSending(h *Host, to key.Public) {
	w.serves.Go(func() {
		for h.Send(to, []byte("x")) != ErrClosed {
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// A home that another region has overtaken is left only once we are connected
// there, and stays reachable for a while.
func TestHomeMovesWithoutLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 40)
		told := new(reports)
		a, b := w.host(told.report), w.host(farFrom(901, time.Second))
		w.awaitHomes(a, b)
		la := w.listen(a)
		w.listen(b)
		w.keepSending(b, a.cfg.Key.Public()) // to where a was, all the time
		w.keepSending(a, b.cfg.Key.Public())
		time.Sleep(time.Minute)
		atHome(t, a, 900)
		la.take()
		w.of(900)[0].latency.Store(int64(200 * time.Millisecond))
		time.Sleep(6 * time.Minute) // the best of the last 5 min counts
		atHome(t, a, 901)
		if told.last() != 901 || regionsOf(a) != "900* 901*" {
			t.Errorf("reported %v, open %s", told.homes, regionsOf(a))
		}
		if got := len(la.take()); got < 3599 {
			t.Errorf("%d packets arrived in six minutes with a move, want 3600", got)
		}
		if home := w.of(901)[0].engine.Counters().Homes; home != 1 {
			t.Errorf("region 901 is home to %d", home)
		}
		if home := w.of(900)[0].engine.Counters().Homes; home != 1 {
			t.Errorf("region 900 is home to %d", home)
		}
		a.Close()
		b.Close()
	})
}

// A region that answers STUN but lets nobody connect does not become home, and does
// when it works again.
func TestHomeIsNotMovedToDeadRelays(t *testing.T) {
	for name, fault := range map[string]func(*worldRelay) *atomic.Bool{
		"refuses":  func(r *worldRelay) *atomic.Bool { return &r.dead },
		"swallows": func(r *worldRelay) *atomic.Bool { return &r.swallows },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 50, 5, 90)
				fault(w.of(901)[0]).Store(true)
				told := new(reports)
				n := w.host(told.report)
				w.listen(n)
				time.Sleep(30 * time.Second)
				atHome(t, n, 900)
				w.keepSending(n, key.Public{1})
				time.Sleep(10 * time.Minute)
				atHome(t, n, 900)
				if n := told.last(); n != 900 {
					t.Errorf("reported %d", n)
				}
				fault(w.of(901)[0]).Store(false)
				time.Sleep(lastDown + time.Minute)
				atHome(t, n, 901)
				n.Close()
			})
		})
	}
}

// Whether there is traffic or not, a peer whose home region dies has another within
// half a minute.
func TestHomeRegionDies(t *testing.T) {
	for name, alsoSTUN := range map[string]bool{"with its STUN": true, "but answers STUN": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 5, 30)
				n := w.host()
				w.listen(n)
				time.Sleep(time.Hour)
				atHome(t, n, 900)
				w.of(900)[0].kill()
				if !alsoSTUN {
					w.of(900)[0].latency.Store(int64(5 * time.Millisecond))
				}
				time.Sleep(30 * time.Second)
				atHome(t, n, 901)
				n.Close()
			})
		})
	}
}

// With UDP blocked, regions are timed over HTTPS; with nothing to measure by, there
// is a home all the same.
func TestHomeWithoutUDP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -1, -1)
		for _, r := range w.relays {
			r.latency.Store(-1)
		}
		n := w.host()
		w.awaitHomes(n)
		if s := n.State(); s.Home.Report.UDP || len(s.Home.Report.Latency) != 2 {
			t.Errorf("%+v", s.Home.Report)
		}
		n.Close()
	})
}

// A host without a network tries again and again, but not often, and finds home
// when the network is there.
func TestNothingAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 30)
		for _, r := range w.relays {
			r.kill()
		}
		n := w.host()
		w.listen(n)
		w.keepSending(n, key.Public{1})
		time.Sleep(time.Hour)
		if dials, probes := w.dials.Load(), w.probes.Load(); dials > 3*3600 || probes > 3*3600 {
			t.Errorf("%d connections and %d probes tried in an hour", dials, probes)
		}
		if s := n.State(); s.Connected || s.Home.Region != 0 {
			t.Errorf("%+v", s)
		}
		for i, r := range w.of(900) {
			r.dead.Store(false)
			r.latency.Store(int64(time.Duration(i+5) * time.Millisecond))
		}
		n.NetworkChanged()
		time.Sleep(10 * time.Second)
		atHome(t, n, 900)
		n.Close()
	})
}

// The only region there is need not be measured to be home.
func TestOnlyRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2000)
		start := time.Now()
		n := w.host()
		w.awaitHomes(n)
		if took := time.Since(start); took > time.Second {
			t.Errorf("home after %v", took)
		}
		n.Close()
	})
}

// A coordination server that cannot be told, or takes its time, holds nothing up,
// and hears of the newest home.
func TestReportHomeIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 40)
		var calls atomic.Int64
		told := new(reports)
		n := w.host(func(cfg *HostConfig) {
			cfg.ReportHome = func(ctx context.Context, h Home) error {
				if calls.Add(1) <= 3 {
					time.Sleep(2 * time.Minute)
					return errors.New("not now")
				}
				return told.take(ctx, h)
			}
		})
		w.listen(n)
		w.awaitHomes(n)
		w.keepSending(n, key.Public{1})
		w.of(900)[0].latency.Store(int64(200 * time.Millisecond))
		time.Sleep(6 * time.Minute)
		atHome(t, n, 901)
		time.Sleep(time.Minute)
		if told.last() != 901 || calls.Load() < 4 {
			t.Errorf("%v after %d calls", told.homes, calls.Load())
		}
		n.Close()
	})
}

// Maps come and go: what has not changed is not touched, what has is replaced
// without loss.
func TestMapChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 40)
		second := w.add(900, 5)
		whole := w.derpMap()
		one := whole.Clone()
		one.Regions[900].Nodes = one.Regions[900].Nodes[:1]
		maps := make(chan *derpmap.Map)
		n, other := w.host(func(cfg *HostConfig) {
			cfg.Map = one
			cfg.WatchMap = func(ctx context.Context, on func(*derpmap.Map, error)) {
				on(nil, errors.New("no map yet"))
				for {
					select {
					case m := <-maps:
						on(m, nil)
					case <-ctx.Done():
						return
					}
				}
			}
		}), w.host(farFrom(901, time.Second))
		ln := w.listen(n)
		w.listen(other)
		w.awaitHomes(n, other)
		if n.State().MapErr == nil {
			t.Error("the failure of the source is not told")
		}
		w.keepSending(other, n.cfg.Key.Public())
		time.Sleep(10 * time.Second)
		before := n.region(900)

		maps <- &derpmap.Map{HomeParams: &derpmap.HomeParams{}} // an update that changes no region
		time.Sleep(10 * time.Second)
		if n.region(900) != before || n.State().MapErr != nil {
			t.Errorf("the region was replaced; %v", n.State().MapErr)
		}
		ln.take()
		maps <- whole // a second node
		time.Sleep(10 * time.Second)
		if got := len(ln.take()); n.region(900) == before || got < 99 {
			t.Errorf("replaced %t, %d packets", n.region(900) != before, got)
		}
		w.of(900)[0].kill()
		time.Sleep(5 * time.Second)
		atHome(t, n, 900)
		if r := n.State().Regions; len(r) != 1 || r[0].Name != second.name {
			t.Errorf("%+v", r)
		}
		without := whole.Clone()
		delete(without.Regions, 900)
		maps <- without
		time.Sleep(10 * time.Second)
		atHome(t, n, 901)
		if got := regionsOf(n); got != "901*" {
			t.Errorf("open: %s", got)
		}
		n.Close()
		other.Close()
	})
}
