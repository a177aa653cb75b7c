package trim

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// trimmed plays a relay under a clock of its own: each step sets the number of
// conns and the packets a second and lets time pass. It returns when memory was
// given back, in seconds from the start.
func trimmed(t *testing.T, later time.Duration, steps []trimStepTest) (at []int) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		var conns, rate, before int
		since := began
		m := Trimmer{
			Conns: func() int {
				mu.Lock()
				defer mu.Unlock()
				return conns
			},
			Packets: func() uint64 {
				mu.Lock()
				defer mu.Unlock()
				return uint64(before + rate*int(time.Since(since)/time.Second))
			},
			Later: later,
			free:  func() { at = append(at, int(time.Since(began)/time.Second)) },
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go m.Run(ctx)
		time.Sleep(time.Second) // steps stay clear of looks
		for _, s := range steps {
			mu.Lock()
			before += rate * int(time.Since(since)/time.Second)
			conns, rate, since = s.conns, s.rate, time.Now()
			mu.Unlock()
			time.Sleep(s.wait)
		}
		synctest.Wait()
	})
	return at
}

type trimStepTest struct {
	conns, rate int
	wait        time.Duration
}

func TestTrimmer(t *testing.T) {
	for name, c := range map[string]struct {
		steps []trimStepTest
		want  []int
		later time.Duration
	}{
		"nothing happens":         {[]trimStepTest{{0, 0, time.Hour}}, nil, 0},
		"few conns":               {[]trimStepTest{{50, 0, time.Hour}}, nil, 0},
		"busy without conns":      {[]trimStepTest{{0, 1e6, time.Hour}}, nil, 0},
		"a rush":                  {[]trimStepTest{{0, 0, time.Minute}, {5000, 0, time.Hour}}, []int{70, 100}, 0},
		"a small change after":    {[]trimStepTest{{5000, 0, time.Hour}, {5300, 0, time.Hour}}, []int{10, 40}, 0},
		"they leave":              {[]trimStepTest{{5000, 0, time.Hour}, {0, 0, time.Hour}}, []int{10, 40, 3610, 3640}, 0},
		"traffic at once":         {[]trimStepTest{{5000, 1e5, time.Hour}}, nil, 0},
		"traffic between":         {[]trimStepTest{{5000, 0, 20 * time.Second}, {5000, 1e5, time.Minute}, {5000, 0, time.Hour}}, []int{10, 90}, 0},
		"little traffic":          {[]trimStepTest{{5000, 1000, time.Hour}}, []int{10, 40}, 0},
		"something is kept":       {[]trimStepTest{{5000, 0, time.Hour}, {0, 0, time.Hour}}, []int{10, 40, 160, 3610, 3640, 3760}, 150 * time.Second},
		"another rush in the gap": {[]trimStepTest{{1000, 0, 17 * time.Second}, {9000, 0, time.Hour}}, []int{10, 40, 70}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := trimmed(t, c.later, c.steps)
			if len(got) != len(c.want) {
				t.Fatalf("gave memory back at %v s, want %v", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("gave memory back at %v s, want %v", got, c.want)
				}
			}
		})
	}
}

// While conns keep coming there is nothing to give back yet.
func TestTrimmerWaitsForTheRushToEnd(t *testing.T) {
	var steps []trimStepTest
	for i := range 20 {
		steps = append(steps, trimStepTest{conns: 500 * (i + 1), wait: lookEvery})
	}
	steps = append(steps, trimStepTest{conns: 10000, wait: time.Hour})
	got := trimmed(t, 0, steps)
	if len(got) != 2 || got[0] < 100 {
		t.Errorf("gave memory back at %v s, want twice, after the rush of 100 s", got)
	}
}
