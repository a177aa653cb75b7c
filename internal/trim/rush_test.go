package trim

import (
	"os"
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

func TestPercentOf(t *testing.T) {
	for _, test := range []struct {
		room, live uint64
		want       int
	}{{100, 0, 1000}, {100, 1, 1000}, {100, 100, 100}, {100, 1000, 10}} {
		if got := percentOf(test.room, test.live); got != test.want {
			t.Errorf("room %d, live %d: %d, want %d", test.room, test.live, got, test.want)
		}
	}
}
