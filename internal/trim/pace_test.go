package trim

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// percent is the collector's pace.
func percent() int {
	p := debug.SetGCPercent(100)
	debug.SetGCPercent(p)
	return p
}

// paced chooses the pace of this process, as if the environment did not, and has Pace
// watch it until stop is called.
func paced(t *testing.T, room uint64) (stop func()) {
	t.Helper()
	before := percent()
	if v, ok := os.LookupEnv("GOGC"); ok {
		os.Unsetenv("GOGC")
		defer os.Setenv("GOGC", v)
	}
	SetGCPercent()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { Pace(ctx, room) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(func() {
		stop()
		ours.Store(false)
		debug.SetGCPercent(before)
	})
	return stop
}

// await collects until it is so. A machine may be too busy for collections to follow on
// each other.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for begun := time.Now(); !so(); time.Sleep(time.Millisecond) {
		if runtime.GC(); time.Since(begun) > time.Minute {
			t.Fatalf("not within a minute: %s; the pace is %d %%", what, percent())
		}
	}
}

func TestMuchGarbageLetsTheHeapGrow(t *testing.T) {
	stop := paced(t, RelayRoom)
	await(t, "the heap may grow", func() bool { return percent() > gcPercent })
	before := percent()
	kept := make([]byte, RelayRoom/2) // what is in use grows, and the room for garbage does not
	await(t, "it may grow by less, now that more is in use", func() bool { return percent() < before && percent() <= 200 })
	runtime.KeepAlive(kept)
	stop()
	if p := percent(); p != gcPercent {
		t.Errorf("%d %% afterwards", p)
	}
}

func TestTheHeapIsCollectedAsBeforeWhenThatIsOver(t *testing.T) {
	paced(t, RelayRoom)
	await(t, "the heap may grow", func() bool { return percent() > gcPercent })
	for begun := time.Now(); percent() != gcPercent; time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("%d %% a minute later", percent())
		}
	}
}

// Who has chosen the pace keeps it.
func TestThePaceOfOthersStays(t *testing.T) {
	if ours.Load() {
		t.Fatal("the pace is ours before it is chosen")
	}
	synctest.Test(t, func(t *testing.T) { Pace(t.Context(), RelayRoom) }) // returns at once
}

func TestARushBeginsWithCollectionsThatFollowOnEachOther(t *testing.T) {
	var r rush
	now := time.Now()
	for i, step := range []struct {
		after time.Duration
		rush  bool
	}{{time.Minute, false}, {time.Second, false}, {often, false}, {often - 1, true}, {often + 1, true}} {
		now = now.Add(step.after)
		if r.collected(now) != step.rush {
			t.Errorf("collection %d: %v", i, !step.rush)
		}
	}
}

func TestPercentOf(t *testing.T) {
	for _, test := range []struct {
		room, live uint64
		want       int
	}{{100, 0, 1000}, {100, 1, 1000}, {100, 50, 200}, {100, 100, 100}, {100, 1000, 100}} {
		if got := percentOf(test.room, test.live); got != test.want {
			t.Errorf("room %d, live %d: %d, want %d", test.room, test.live, got, test.want)
		}
	}
}
