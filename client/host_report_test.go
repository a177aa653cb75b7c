package client

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
)

var errCoordinatorAway = errors.New("the coordination server is away")

// coordinator takes reports of homes, unless it is away.
type coordinator struct {
	reports
	away atomic.Bool
}

func (c *coordinator) report(cfg *HostConfig) {
	cfg.ReportHome = func(ctx context.Context, h Home) error {
		if c.away.Load() {
			return errCoordinatorAway
		}
		return c.take(ctx, h)
	}
}

func wantReported(t *testing.T, h *Host, region int, pending bool) {
	t.Helper()
	s := h.State()
	if s.Reported != region || s.Pending.IsZero() == pending || errors.Is(s.ReportErr, errCoordinatorAway) != pending {
		t.Errorf("reported %d, pending since %v (%v); want %d, pending %t", s.Reported, s.Pending, s.ReportErr, region, pending)
	}
}

// While nobody can be told that we have moved, we are still to be found where we
// were; so long as that is alive.
func TestTheReportedHomeStaysOpenUntilAnotherIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 40)
		c := new(coordinator)
		a, b := w.host(c.report), w.host(farFrom(901, time.Second))
		w.awaitHomes(a, b)
		la := w.listen(a)
		w.listen(b)
		w.keepSending(a, key.Public{1})
		w.keepSending(b, a.cfg.Key.Public()) // to where it believes a to be
		time.Sleep(time.Second)
		wantReported(t, a, 900, false)

		c.away.Store(true)
		w.of(900)[0].latency.Store(-1)
		w.of(900)[0].kill() // both go elsewhere ...
		time.Sleep(time.Minute)
		atHome(t, a, 901)
		w.of(900)[0].dead.Store(false) // ... and cannot tell each other
		b.SetPeerHome(a.cfg.Key.Public(), 900)
		time.Sleep(time.Minute)
		la.take()
		time.Sleep(time.Hour)
		wantReported(t, a, 900, true)
		if got := regionsOf(a); got != "900* 901*" {
			t.Errorf("open: %s", got)
		}
		if got := len(la.take()); got < 36000-1 {
			t.Errorf("%d packets arrived, want all of an hour", got)
		}
		if at900, at901 := w.of(900)[0].engine.Counters().Homes, w.of(901)[0].engine.Counters().Homes; at900 != 0 || at901 != 2 {
			t.Errorf("region 900 is home to %d, 901 to %d; want that only of one is each", at900, at901)
		}

		c.away.Store(false)
		time.Sleep(2 * time.Minute) // until it is tried again, at most a minute and a quarter
		wantReported(t, a, 901, false)
		b.SetPeerHome(a.cfg.Key.Public(), 901)
		la.take()
		time.Sleep(2 * time.Minute)
		if got := regionsOf(a); got != "901*" {
			t.Errorf("open: %s", got)
		}
		if got := len(la.take()); got < 1200-1 {
			t.Errorf("%d packets arrived, want all of two minutes", got)
		}
		a.Close()
		b.Close()
	})
}

// A home that others know is not left for a nearer one while they cannot be told of
// that, but for another if it dies, and for the one that they know.
func TestNoMoveForLatencyWhileReportsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 40)
		c := new(coordinator)
		h := w.host(c.report)
		w.listen(h)
		w.awaitHomes(h)
		w.keepSending(h, key.Public{1})
		time.Sleep(time.Minute)
		c.away.Store(true)
		time.Sleep(6 * time.Minute) // a full report is to be told
		wantReported(t, h, 900, true)
		w.of(900)[0].latency.Store(int64(200 * time.Millisecond))
		time.Sleep(time.Hour)
		atHome(t, h, 900)

		w.of(900)[0].kill()
		time.Sleep(30 * time.Second)
		atHome(t, h, 901)
		w.of(900)[0].dead.Store(false)
		w.of(900)[0].latency.Store(int64(5 * time.Millisecond))
		time.Sleep(lastDown + 6*time.Minute)
		atHome(t, h, 900)
		wantReported(t, h, 900, true)

		w.of(900)[0].latency.Store(int64(200 * time.Millisecond))
		c.away.Store(false)
		time.Sleep(8 * time.Minute)
		atHome(t, h, 901)
		wantReported(t, h, 901, false)
		h.Close()
	})
}

// A home that leaves the map is left at once, and stays open until others can have
// heard of the next.
func TestAReportedHomeThatLeavesTheMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 40)
		c := new(coordinator)
		maps := make(chan *derpmap.Map)
		h := w.host(c.report, func(cfg *HostConfig) {
			cfg.WatchMap = func(ctx context.Context, on func(*derpmap.Map, error)) {
				for {
					select {
					case m := <-maps:
						on(m, nil)
					case <-ctx.Done():
						return
					}
				}
			}
		})
		w.listen(h)
		w.awaitHomes(h)
		time.Sleep(time.Second)
		c.away.Store(true)
		without := w.derpMap()
		delete(without.Regions, 900)
		for range 2 {
			maps <- without.Clone()
			time.Sleep(5 * time.Minute)
			atHome(t, h, 901)
			if got := regionsOf(h); got != "900* 901*" {
				t.Errorf("open: %s", got)
			}
			without.Regions[901].RegionName += "x"
		}
		c.away.Store(false)
		time.Sleep(2 * time.Minute)
		if got := regionsOf(h); got != "901*" {
			t.Errorf("open: %s", got)
		}
		h.Close()
	})
}

// What the coordination server has from an earlier life is kept open as well.
func TestAHostBeginsWhereItWasReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 40)
		c := new(coordinator)
		c.away.Store(true)
		h := w.host(c.report, func(cfg *HostConfig) { cfg.ReportedHome = 901 })
		w.listen(h)
		time.Sleep(time.Hour)
		atHome(t, h, 900)
		wantReported(t, h, 901, true)
		if got := regionsOf(h); got != "900* 901*" {
			t.Errorf("open: %s", got)
		}
		c.away.Store(false)
		for h.State().Reported != 900 {
			time.Sleep(time.Second)
		}
		time.Sleep(idleTime - 5*time.Second) // others hear of it one after the other
		if got := regionsOf(h); got != "900* 901*" {
			t.Errorf("open: %s", got)
		}
		time.Sleep(idleLook + 5*time.Second)
		wantReported(t, h, 900, false)
		if got := regionsOf(h); got != "900*" {
			t.Errorf("open: %s", got)
		}
		h.Close()
	})
}

// A peer whose region the map does not have gets packets where it was heard, even if
// that has to be opened again.
func TestAPeerWhoseRegionHasLeftTheMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 5)
		a, b := w.host(farFrom(901, time.Second)), w.host(farFrom(900, time.Second))
		w.awaitHomes(a, b)
		w.listen(a)
		lb := w.listen(b)
		a.SetPeerHome(b.cfg.Key.Public(), 901)
		a.Send(b.cfg.Key.Public(), []byte("there"))
		time.Sleep(time.Second)
		b.Send(a.cfg.Key.Public(), []byte("and back"))
		time.Sleep(time.Second)
		a.SetPeerHome(b.cfg.Key.Public(), 55)
		time.Sleep(5 * time.Minute)
		if got := regionsOf(a); got != "900*" {
			t.Errorf("open: %s", got)
		}
		lb.take()
		if err := a.Send(b.cfg.Key.Public(), []byte("again")); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if got := lb.take(); len(got) != 1 || got[0].Region != 901 {
			t.Errorf("%+v", got)
		}
		a.SetPeerHome(key.Public{1}, 55) // was never heard
		if err := a.Send(key.Public{1}, nil); err != ErrNoRegion {
			t.Errorf("%v, want %v", err, ErrNoRegion)
		}
		a.Close()
		b.Close()
	})
}
