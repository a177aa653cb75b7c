// Package rate limits rates with token buckets: a bucket fills with tokens over
// time up to its burst, and whatever is limited takes some.
//
// A Bucket is eight bytes, so that each of very many connections can have one.
// Limits are kept apart from buckets and passed with each Take: those that
// share a limit say so once, and a limit can change while its bucket is in use.
// There is no clock here either: the caller passes the time.
package rate

import (
	"math"
	"time"
)

// A Limit says how fast a bucket fills, and how much it holds.
type Limit struct {
	PerSecond float64 // tokens; 0: no limit
	Burst     float64 // tokens that a full bucket holds
}

// A Bucket begins full, and is ready as it is. One goroutine at a time uses it.
type Bucket struct {
	// When it will be full again. That it holds too little is the same as this
	// being too far ahead, so one number tells both time and tokens.
	full time.Duration
}

// Take takes n tokens, and reports false, taking none, if there are fewer. The
// time is that since any fixed moment, the same for all calls.
func (b *Bucket) Take(l Limit, n int, now time.Duration) bool {
	if l.PerSecond <= 0 {
		return true
	}
	full := add(max(b.full, now), l.time(float64(n)))
	if full > add(now, l.time(l.Burst)) {
		return false
	}
	b.full = full
	return true
}

// time returns how long it takes to fill so many tokens in.
func (l Limit) time(tokens float64) time.Duration {
	took := math.Round(tokens / l.PerSecond * float64(time.Second))
	if took >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(took)
}

// add adds a span that is not negative, up to the end of time.
func add(to, span time.Duration) time.Duration {
	if to > math.MaxInt64-span {
		return math.MaxInt64
	}
	return to + span
}
