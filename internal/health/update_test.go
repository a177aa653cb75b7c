package health

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Other paths are checked soon, and what was checked before says nothing any more.
func TestUpdateChecksOtherPaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		verdict := map[string]error{"wrong": errors.New("no"), "right": nil}
		asked := map[string]int{}
		path := func(name string) Path {
			return Path{Target: name, Check: func(context.Context) error { asked[name]++; return verdict[name] }}
		}
		h := opened(t, Config{}) // nothing at first
		ended := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { defer close(ended); h.Run(ctx) }()
		wait := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		update := func(name, direct Path) {
			if err := h.Update(name, direct); err != nil {
				t.Error(err)
			}
		}
		wait(time.Hour)
		if got := h.Snapshot().SelfCheck; got != nil || !h.Healthy() {
			t.Errorf("off: %+v", got)
		}

		update(Path{}, path("wrong"))
		wait(2 * time.Second)
		if asked["wrong"] != 1 || !h.Healthy() {
			t.Errorf("%v: it is not asked soon, or one failure is enough", asked)
		}
		update(path("wrong"), Path{})
		wait(2 * time.Second)
		if !h.Healthy() {
			t.Error("a failure by another path was counted, too")
		}
		wait(time.Minute)
		if h.Healthy() {
			t.Error("healthy after failures in a row")
		}

		update(path("right"), Path{})
		if h.Healthy() {
			t.Error("healthy before a check has passed")
		}
		wait(2 * time.Second)
		if got := h.Snapshot().SelfCheck; !h.Healthy() || got.Target != "right" || got.FailedTotal == 0 || asked["right"] != 1 {
			t.Errorf("%+v, %v", got, asked)
		}

		update(path("wrong"), Path{})
		wait(5 * time.Minute)
		if h.Healthy() {
			t.Error("healthy after failures in a row")
		}
		before := asked["wrong"]
		update(Path{}, Path{})
		if !h.Healthy() {
			t.Error("a relay that is not checked is not well")
		}
		if wait(time.Hour); asked["wrong"] != before || h.Snapshot().SelfCheck != nil {
			t.Error("it is checked all the same")
		}
		if err := h.Update(Path{Target: "half"}, Path{}); err == nil {
			t.Error("half a path is taken")
		}
		cancel()
		<-ended
	})
}

// A check that is under way while the paths change is no verdict on the new ones.
func TestUpdateDuringACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan error)
		h := opened(t, Config{Direct: Path{Target: "slow", Check: func(context.Context) error { return <-answer }}})
		done := make(chan struct{})
		go func() { defer close(done); h.check(t.Context()) }()
		synctest.Wait()
		if err := h.Update(Path{}, Path{Target: "other", Check: func(context.Context) error { return nil }}); err != nil {
			t.Fatal(err)
		}
		answer <- errors.New("no")
		<-done
		if got := h.Snapshot().SelfCheck; got.Checks != 0 || got.Failures != 0 || got.Target != "other" {
			t.Errorf("%+v", got)
		}
	})
}
