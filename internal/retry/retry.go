// Package retry is for those who try again: how long to wait, and the wait.
//
// Everything is jittered: those who lost something in the same moment must not
// come back in the same moment.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// A Backoff says how long to wait after each failure in a row. The waits double
// from First to Most, which is the longer of the two.
type Backoff struct {
	First, Most time.Duration
	last        time.Duration // before jitter; 0: there was none
}

// Next returns the next wait, jittered.
func (b *Backoff) Next() time.Duration {
	b.last = min(max(2*b.last, b.First), b.Most)
	return Jitter(b.last)
}

// Resume has the next wait be that after so many failures in a row.
func (b *Backoff) Resume(failures int) {
	for b.last = 0; failures > 0 && b.last < b.Most; failures-- {
		b.last = min(max(2*b.last, b.First), b.Most)
	}
}

// Reset is for after a success: the next wait is the first again.
func (b *Backoff) Reset() { b.last = 0 }

// Jitter returns 0.75 to 1.25 times d.
func Jitter(d time.Duration) time.Duration { return d - d/4 + rand.N(max(d, 0)/2+1) }

// Rest waits for d, or until something comes from wake or it is closed, or until
// ctx is done. It reports whether to go on, which is false once ctx is done. A nil
// wake is none.
func Rest(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
