package load

import "time"

// shortestSleep keeps pacing cheap: a sender never asks for a shorter sleep, it
// sends what fell due meanwhile instead. The kernel and Go's timers are not much
// finer on an idle machine anyway.
const shortestSleep = time.Millisecond

// longestDebt bounds how much a sender catches up after its connection was full.
// What fell due earlier counts as offered and not sent; sent all at once it would
// be another load than the one asked for.
const longestDebt = 50 * time.Millisecond

// schedule says when the writes of one sender are due. Times are nanoseconds of the
// run's clock.
type schedule struct {
	start    int64
	interval float64 // nanoseconds between writes
	done     int64   // writes sent or given up
	given    int64   // of these, given up
}

// due returns how many writes ought to be sent now, having given up what is too
// old.
func (s *schedule) due(now int64) int64 {
	due := s.at(now) - s.done
	if old := due - int64(float64(longestDebt)/s.interval) - 1; old > 0 {
		s.done += old
		s.given += old
		due -= old
	}
	return max(due, 0)
}

// at is how many writes the schedule asks for up to now, the first one at its
// start.
func (s *schedule) at(now int64) int64 {
	if now < s.start {
		return 0
	}
	return int64(float64(now-s.start)/s.interval) + 1
}

// wait returns how long to sleep when nothing is due.
func (s *schedule) wait(now int64) time.Duration {
	next := s.start + int64(float64(s.done)*s.interval)
	return max(time.Duration(next-now), shortestSleep)
}
