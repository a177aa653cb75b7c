package home

import (
	"time"
)

const (
	fullPeriod   = 5 * time.Minute
	leastPeriod  = 20 * time.Second
	mostPeriod   = 26 * time.Second
	activeWindow = 45 * time.Second

	// Ours: what keeps asking for reports, such as a region that fails at once
	// again and again, does not get them back to back.
	leastPause = time.Second
)

// A Trigger is what makes a report due at once (10.6).
type Trigger uint8

// The triggers.
const (
	Failure        Trigger = iota // a connection or a send failed
	MapChanged                    // there is another DERP map
	NetworkChanged                // interfaces, addresses or routes are others: everything is measured anew
)

// A Schedule says when to measure. With the zero Schedule a full report is due at
// once.
//
// After it, reports are due 20 to 26 s after each other while the peer is in use,
// and when something happens: see [Trigger].
type Schedule struct {
	asked     bool      // since the last report began
	full      bool      // asked for since the last report began
	ended     time.Time // the last report; zero if there was none
	period    time.Duration
	fullStart time.Time
	last      *Report // what End was told; nil if it failed
}

// Trigger asks for a report. During one, it asks for another after it.
func (s *Schedule) Trigger(t Trigger) {
	s.asked = true
	s.full = s.full || t == NetworkChanged
}

// Wait returns how long to wait until a report is due, 0 if it is now. traffic is
// when a packet was last sent or received. It returns false if none is due before
// there is traffic or a Trigger.
func (s *Schedule) Wait(now, traffic time.Time) (time.Duration, bool) {
	since := now.Sub(s.ended)
	switch {
	case s.ended.IsZero() || since < 0:
		return 0, true
	case s.asked:
		return max(leastPause-since, 0), true
	}
	due := s.ended.Add(s.period)
	if due.Before(now) {
		due = now
	}
	return due.Sub(now), !due.After(traffic.Add(activeWindow))
}

// Begin tells that a report starts, and returns whether it is to be full (9.2): if
// the network has changed, if the last full one is more than 5 minutes ago, or if
// the last one found UDP blocked by a captive portal.
func (s *Schedule) Begin(now time.Time) (full bool) {
	age := now.Sub(s.fullStart)
	full = s.full || s.fullStart.IsZero() || age < 0 || age > fullPeriod ||
		s.last != nil && !s.last.UDP && s.last.CaptivePortal
	s.asked, s.full = false, false
	if full {
		s.fullStart = now
	}
	return full
}

// End tells that a report has ended, and what it found; nil if it was given up.
// draw is a random number in [0, 1): it says when the next one is due, so that
// peers that start together do not measure together.
func (s *Schedule) End(now time.Time, report *Report, draw float64) {
	if !(draw >= 0 && draw < 1) {
		draw = 0
	}
	s.ended, s.last = now, report
	s.period = leastPeriod + time.Duration(draw*float64(mostPeriod-leastPeriod))
}
