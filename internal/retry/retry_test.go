package retry

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoffDoublesUpToTheMost(t *testing.T) {
	for name, c := range map[string]struct {
		first, most time.Duration
		want        []time.Duration // in the middle of the jitter
	}{
		"doubles":             {time.Second, 5 * time.Second, []time.Duration{1, 2, 4, 5, 5}},
		"one wait":            {2 * time.Second, 2 * time.Second, []time.Duration{2, 2}},
		"first beyond most":   {9 * time.Second, 3 * time.Second, []time.Duration{3, 3}},
		"no wait":             {0, 0, []time.Duration{0, 0}},
		"near the end of all": {math.MaxInt64 / 8, math.MaxInt64 / 4, nil},
	} {
		for range 100 {
			b := Backoff{First: c.first, Most: c.most}
			for round := range 2 {
				for i, middle := range c.want {
					middle *= time.Second
					if got := b.Next(); got < 3*middle/4 || got > 5*middle/4 {
						t.Fatalf("%s, round %d: wait %d is %v, want about %v", name, round, i, got, middle)
					}
				}
				b.Reset()
			}
			for range 10 {
				if got := b.Next(); got < 0 {
					t.Fatalf("%s: %v", name, got)
				}
			}
		}
	}
}

func TestJitterSpreads(t *testing.T) {
	const d = time.Second
	low, high := d, d
	for range 2000 {
		got := Jitter(d)
		if got < 3*d/4 || got > 5*d/4 {
			t.Fatalf("%v is not within 0.75 and 1.25 of %v", got, d)
		}
		low, high = min(low, got), max(high, got)
	}
	if low > 8*d/10 || high < 12*d/10 {
		t.Errorf("2000 waits are all between %v and %v", low, high)
	}
	if Jitter(0) != 0 {
		t.Error("nothing is not to be waited for")
	}
}

func TestRest(t *testing.T) {
	for name, c := range map[string]struct {
		d, cancel, wake time.Duration // negative: never
		want            bool
		took            time.Duration
	}{
		"the time":         {time.Minute, -1, -1, true, time.Minute},
		"no time":          {0, -1, -1, true, 0},
		"less than none":   {-time.Second, -1, -1, true, 0},
		"woken":            {time.Minute, -1, time.Second, true, time.Second},
		"ended":            {time.Minute, time.Second, -1, false, time.Second},
		"ended before":     {time.Minute, 0, -1, false, 0},
		"ended and no d":   {0, 0, -1, false, 0},
		"ended, then wake": {time.Minute, time.Second, 2 * time.Second, false, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.cancel == 0 {
					cancel()
				} else if c.cancel > 0 {
					time.AfterFunc(c.cancel, cancel)
				}
				wake := make(chan struct{})
				if c.wake >= 0 {
					time.AfterFunc(c.wake, func() { close(wake) })
				}
				began := time.Now()
				got := Rest(ctx, c.d, wake)
				if took := time.Since(began); got != c.want || took != c.took {
					t.Errorf("%v after %v, want %v after %v", got, took, c.want, c.took)
				}
			})
		})
	}
}

// A wake-up that was sent, not closed, is used up.
func TestRestTakesTheWakeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake := make(chan struct{}, 1)
		wake <- struct{}{}
		began := time.Now()
		Rest(t.Context(), time.Minute, wake)
		Rest(t.Context(), time.Minute, wake)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("two rests took %v, want the second to last a minute", took)
		}
	})
}

func TestBackoffResumes(t *testing.T) {
	for failures := range 12 {
		went, resumed := Backoff{First: 3 * time.Second, Most: time.Hour}, Backoff{First: 3 * time.Second, Most: time.Hour}
		for range failures {
			went.Next()
		}
		if resumed.Resume(failures); resumed != went {
			t.Errorf("after %d failures: %v, want %v", failures, resumed.last, went.last)
		}
	}
	b := Backoff{First: time.Second, Most: time.Hour}
	if b.Resume(math.MaxInt); b.last != b.Most {
		t.Errorf("after very many: %v", b.last)
	}
	if b.Resume(-1); b.last != 0 {
		t.Errorf("after none: %v", b.last)
	}
}
