package home

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestWait(t *testing.T) {
	// A report that ended at 0, the next one due at 20 s (draw 0).
	ended := func() *Schedule {
		s := new(Schedule)
		s.Begin(start)
		s.End(start, &Report{UDP: true}, 0)
		return s
	}
	asked := ended()
	asked.Trigger(Failure)
	askedDuring := new(Schedule)
	askedDuring.Begin(start)
	askedDuring.Trigger(MapChanged)
	askedDuring.End(start, nil, 0)

	const never = -1
	for _, test := range []struct {
		name    string
		s       *Schedule
		now     int // s
		traffic int // s
		want    int // s, or never
	}{
		{"the first at once, traffic or not", new(Schedule), 0, -1000, 0},
		{"20 s after the last", ended(), 0, 0, 20},
		{"counted from its end", ended(), 5, 5, 15},
		{"the user is late", ended(), 30, 30, 0},
		{"traffic 45 s before it is due", ended(), 0, -25, 20},
		{"longer ago", ended(), 0, -26, never},
		{"a peer that went idle", ended(), 1000, 900, never},
		{"traffic again", ended(), 1000, 1000, 0},
		{"asked for: without traffic, but not back to back", asked, 0, -1000, 1},
		{"asked for later: at once", asked, 4, -1000, 0},
		{"asked for during a report: after it", askedDuring, 0, -1000, 1},
		{"the clock was set back", ended(), -10, -1000, 0},
	} {
		got, ok := test.s.Wait(at(test.now*1000), at(test.traffic*1000))
		if ok != (test.want != never) || ok && got != time.Duration(test.want)*time.Second {
			t.Errorf("%s: wait %v, %v, want %d s", test.name, got, ok, test.want)
		}
	}
}

func TestPeriodIsRandom(t *testing.T) {
	for _, test := range []struct {
		draw float64
		want time.Duration
	}{
		{0, 20 * time.Second}, {0.5, 23 * time.Second}, {-1, 20 * time.Second}, {2, 20 * time.Second},
		{math.NaN(), 20 * time.Second}, {math.Inf(1), 20 * time.Second},
	} {
		var s Schedule
		s.End(start, nil, test.draw)
		if got, ok := s.Wait(start, start); !ok || got != test.want {
			t.Errorf("draw %v: wait %v, %v, want %v", test.draw, got, ok, test.want)
		}
	}
	for range 1000 {
		var s Schedule
		s.End(start, nil, rand.Float64())
		if got, _ := s.Wait(start, start); got < 20*time.Second || got >= 26*time.Second {
			t.Fatalf("wait %v, want 20 to 26 s", got)
		}
	}
}

func TestFullOrIncremental(t *testing.T) {
	good := &Report{UDP: true}
	type begin struct {
		at       int // s
		triggers []Trigger
		full     bool
		found    *Report
	}
	for _, test := range []struct {
		name   string
		begins []begin
	}{
		{"full every 5 min", []begin{
			{at: 0, full: true, found: good}, {at: 23, found: good}, {at: 300, found: good}, {at: 301, full: true, found: good},
			{at: 320, found: good},
		}},
		{"after a failure or another map: incremental", []begin{
			{at: 0, full: true, found: good}, {at: 10, triggers: []Trigger{Failure, MapChanged}, found: good},
		}},
		{"on another network: full, once", []begin{
			{at: 0, full: true, found: good}, {at: 10, triggers: []Trigger{NetworkChanged, Failure}, full: true, found: good},
			{at: 30, found: good}, {at: 305, found: good}, {at: 311, full: true, found: good},
		}},
		{"behind a captive portal: full until UDP works", []begin{
			{at: 0, full: true, found: &Report{CaptivePortal: true}}, {at: 20, full: true, found: &Report{CaptivePortal: true}},
			{at: 40, full: true, found: good}, {at: 60, found: good},
		}},
		{"a captive portal that lets UDP through", []begin{
			{at: 0, full: true, found: &Report{CaptivePortal: true, UDP: true}}, {at: 20, found: good},
		}},
		{"UDP blocked, but no captive portal", []begin{
			{at: 0, full: true, found: &Report{}}, {at: 20, found: &Report{}},
		}},
		{"a report that was given up", []begin{
			{at: 0, full: true}, {at: 20}, {at: 40, found: good},
		}},
		{"the clock is set back", []begin{
			{at: 1000, full: true, found: good}, {at: 10, full: true, found: good},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s Schedule
			for i, b := range test.begins {
				for _, trigger := range b.triggers {
					s.Trigger(trigger)
				}
				if full := s.Begin(at(b.at * 1000)); full != b.full {
					t.Errorf("report %d: full %v, want %v", i, full, b.full)
				}
				s.End(at(b.at*1000), b.found, 0.5)
			}
		})
	}
}

// Whatever keeps failing, there is no more than a report a second.
func TestTriggersDoNotSpin(t *testing.T) {
	var s Schedule
	now, reports := start, 0
	for now.Before(at(60_000)) {
		s.Trigger(Failure)
		wait, ok := s.Wait(now, now)
		if !ok {
			t.Fatal("asked for, and not due")
		}
		now = now.Add(wait)
		s.Begin(now)
		s.End(now, nil, 0)
		reports++
	}
	if reports > 61 {
		t.Errorf("%d reports in a minute", reports)
	}
}
