package mesh

import (
	"math/rand/v2"
	"time"
)

// A backoff says how long to pause after each failure in a row.
type backoff struct {
	first, most time.Duration
	pause       time.Duration // the last one; 0: there was none
}

// next returns the next pause. Each is twice as long as the one before, up to
// the longest, and jittered.
func (b *backoff) next() time.Duration {
	b.pause = min(max(2*b.pause, b.first), b.most)
	return jitter(b.pause)
}

func (b *backoff) reset() { b.pause = 0 }

// jitter returns 0.5 to 1.5 times d, so that relays that lost something in the
// same moment do not come back in the same moment.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d+1) }
