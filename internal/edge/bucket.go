package edge

import "time"

// A bucket limits a rate: it fills with tokens over time up to burst, and each
// event takes one.
type bucket struct {
	perSecond float64 // 0: no limit
	burst     float64
	tokens    float64
	filled    time.Time
}

// newBucket returns a full bucket.
func newBucket(perSecond float64, burst int, now time.Time) bucket {
	return bucket{perSecond: perSecond, burst: float64(burst), tokens: float64(burst), filled: now}
}

// take reports whether one more event is within the limit, and counts it if so.
func (b *bucket) take(now time.Time) bool {
	if b.perSecond == 0 {
		return true
	}
	b.tokens = min(b.burst, b.tokens+now.Sub(b.filled).Seconds()*b.perSecond)
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
