package rate

import "time"

// A Meter is a limit with its bucket, for somebody who takes many times between two looks
// at the clock. One goroutine at a time uses it.
type Meter struct {
	limit Limit
	taken Bucket
	made  time.Time
	now   time.Duration // since made
}

// NewMeter returns one whose bucket is full.
func NewMeter(l Limit, now time.Time) *Meter { return &Meter{limit: l, made: now} }

// Fill adds what has come in up to now.
func (m *Meter) Fill(now time.Time) { m.now = now.Sub(m.made) }

// Take takes n tokens, and reports false, taking none, if there are fewer.
func (m *Meter) Take(n int) bool { return m.taken.Take(m.limit, n, m.now) }
