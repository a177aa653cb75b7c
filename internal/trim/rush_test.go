package trim

import (
	"os"
	"runtime"
	"runtime/debug"
	"testing"
)

// percent is the collector's pace.
func percent() int {
	p := debug.SetGCPercent(100)
	debug.SetGCPercent(p)
	return p
}

func TestARushLetsTheHeapGrow(t *testing.T) {
	defer debug.SetGCPercent(percent())
	defer ours.Store(false)
	var r Rush
	r.Note(rushBegins)
	if r.on.Load() {
		t.Error("the pace is somebody else's, and was changed")
	}
	if v, ok := os.LookupEnv("GOGC"); ok {
		os.Unsetenv("GOGC")
		defer os.Setenv("GOGC", v)
	}
	SetGCPercent()
	for _, step := range []struct {
		underWay int64
		rush     bool
	}{{1, false}, {rushBegins - 1, false}, {rushBegins, true}, {rushEnds + 1, true}, {rushEnds, false}, {rushBegins - 1, false}} {
		r.Note(step.underWay)
		if p := percent(); (p > gcPercent) != step.rush {
			t.Errorf("%d under way: %d %%", step.underWay, p)
		}
	}
}

// What is in use grows during a rush, and the room for garbage with it only a little.
func TestARushGoesByWhatIsInUse(t *testing.T) {
	defer debug.SetGCPercent(percent())
	defer ours.Store(false)
	ours.Store(true)
	var r Rush
	r.Note(rushBegins)
	before := percent()
	kept := make([]byte, rushRoom/4)
	runtime.GC()
	for range rushLook {
		r.Note(rushBegins)
	}
	runtime.KeepAlive(kept)
	if p := percent(); p >= before || p > 400 {
		t.Errorf("%d %% with %d MB in use, %d %% before", p, len(kept)>>20, before)
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
