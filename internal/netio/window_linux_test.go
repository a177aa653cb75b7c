package netio

import (
	"testing"
	"time"
)

// What a loop decides when a window ends.
func TestShare(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for name, c := range map[string]struct {
		loads   []int32 // of all loops
		working int32
		index   int // who decides
		read    int // sockets in its window
		windows int // that end like this, one after another

		shed, shedTo int
		workingThen  int32
	}{
		"not full":                            {[]int32{800, 0}, 1, 0, 10, 1, 0, -1, 1},
		"full, and there is another":          {[]int32{900, 0}, 1, 0, 10, 1, 5, 1, 2},
		"full of one socket":                  {[]int32{1000, 0}, 1, 0, 1, 9, 0, -1, 1},
		"full, alone":                         {[]int32{1000}, 1, 0, 10, 1, 0, -1, 1},
		"full, and another works less":        {[]int32{900, 300, 0}, 2, 0, 30, 1, 10, 1, 2},
		"two full, and there is a third":      {[]int32{900, 900, 0}, 2, 1, 4, 1, 2, 2, 3},
		"all full":                            {[]int32{900, 1000}, 2, 1, 10, 9, 0, -1, 2},
		"two with little to do":               {[]int32{200, 200}, 2, 1, 10, emptyWindows, 0, -1, 1},
		"for a moment":                        {[]int32{200, 200}, 2, 1, 10, emptyWindows - 1, 0, -1, 2},
		"the first one retires never":         {[]int32{200, 200}, 2, 0, 10, 2 * emptyWindows, 0, -1, 2},
		"one with little, the other has much": {[]int32{700, 100}, 2, 1, 10, 2 * emptyWindows, 0, -1, 2},
	} {
		l := new(Loops)
		l.working.Store(c.working)
		for i, busy := range c.loads {
			one := &loop{of: l, index: i}
			one.load.busy.Store(busy)
			one.load.at.Store(now.UnixNano())
			l.all = append(l.all, one)
		}
		one := l.all[c.index]
		for range c.windows {
			one.share(now, int(c.loads[c.index]), c.read)
		}
		if one.window.shed != c.shed {
			t.Errorf("%s: hands over %d sockets, want %d", name, one.window.shed, c.shed)
		}
		if c.shedTo >= 0 && one.window.shedTo != l.all[c.shedTo] {
			t.Errorf("%s: not to loop %d", name, c.shedTo)
		}
		if n := l.working.Load(); n != c.workingThen {
			t.Errorf("%s: then %d loops work, want %d", name, n, c.workingThen)
		}
	}
}

// A loop that has been waiting for long was not busy, whatever it was before.
func TestOldLoad(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var l load
	l.busy.Store(900)
	l.at.Store(now.UnixNano())
	if busy := l.now(now.Add(windowTime)); busy != 900 {
		t.Errorf("%d after a window", busy)
	}
	if busy := l.now(now.Add(10 * windowTime)); busy != 0 {
		t.Errorf("%d after ten", busy)
	}
}
