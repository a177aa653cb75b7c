package load

import (
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

func TestScheduleKeepsTheRate(t *testing.T) {
	for _, interval := range []time.Duration{224 * time.Microsecond, time.Millisecond, 1792 * time.Microsecond, 300 * time.Millisecond} {
		plan := schedule{start: 5 * ms, interval: float64(interval)}
		now, sent := int64(0), int64(0)
		for now < 2000*ms {
			n := plan.due(now)
			plan.done += n
			sent += n
			if wait := plan.wait(now); wait < shortestSleep {
				t.Fatalf("every %v: a sleep of %v", interval, wait)
			}
			now += int64(plan.wait(now)) + 60_000 // the kernel is a little late
		}
		want := int64(1995*time.Millisecond/interval) + 1
		if late := want - sent; late < 0 || late > int64(2*time.Millisecond/interval)+1 {
			t.Errorf("every %v: %d writes in two seconds, want %d", interval, sent, want)
		}
		if plan.given != 0 {
			t.Errorf("every %v: gave up %d writes", interval, plan.given)
		}
	}
}

func TestScheduleGivesUpWhatIsOld(t *testing.T) {
	plan := schedule{interval: float64(ms)}
	due := plan.due(1000 * ms)
	if limit := int64(longestDebt/time.Millisecond) + 1; due != limit {
		t.Errorf("%d writes due after a second of silence, want %d", due, limit)
	}
	if plan.done+due != plan.at(1000*ms) || plan.given != plan.done {
		t.Errorf("%d given up and %d due do not make %d", plan.given, due, plan.at(1000*ms))
	}
}

func TestScheduleBeforeItsStart(t *testing.T) {
	plan := schedule{start: 10 * ms, interval: float64(ms)}
	if plan.due(9*ms) != 0 || plan.at(9*ms) != 0 || plan.due(10*ms) != 1 {
		t.Error("the first write is due at the start, not before")
	}
	if wait := plan.wait(3 * ms); wait != 7*time.Millisecond {
		t.Errorf("waits %v for a start in 7ms", wait)
	}
}
