package limit

import (
	"math"
	"sync/atomic"
	"time"
)

// Smallest is the least that a bucket holds: one largest packet with its frame.
const Smallest = 65_573

// Slowest is the least rate. With less, the burst that a reader brings at once would
// take longer to pay for than peers wait before they give a connection up.
const Slowest = 8_000

// fastest keeps the arithmetic within its bounds: 800 Gbit/s.
const fastest = 100_000_000_000

// Limits are bytes a second from a key and to it, and how many it may use at once
// after a rest. Rates that are not positive are no limit. A burst that is not
// positive is a second's worth.
type Limits struct{ In, Out, Burst int64 }

// A rule is Limits made ready for charging. A nil one limits nothing.
type rule struct {
	Limits
	in, out rate
}

// newRule returns nil for limits that limit nothing.
func newRule(l Limits) *rule {
	if l.In <= 0 && l.Out <= 0 {
		return nil
	}
	r := &rule{in: newRate(l.In, l.Burst), out: newRate(l.Out, l.Burst)}
	r.Limits = Limits{In: r.in.perSecond, Out: r.out.perSecond, Burst: max(l.Burst, 0)}
	return r
}

// limits returns what the rule says; nothing for none.
func (r *rule) limits() Limits {
	if r == nil {
		return Limits{}
	}
	return r.Limits
}

// Told returns the rate that a peer is told, and the burst with it; 0 for none.
func (l Limits) Told() (perSecond, burst int64) {
	if l.In <= 0 {
		return 0, 0
	}
	return l.In, burstOf(l.In, l.Burst)
}

func burstOf(perSecond, burst int64) int64 {
	if burst <= 0 {
		burst = perSecond
	}
	return max(burst, Smallest)
}

// A rate is how fast a bucket fills.
type rate struct {
	perSecond int64 // bytes; 0: no limit
	full      int64 // nanoseconds in which an empty bucket fills up
}

func newRate(perSecond, burst int64) rate {
	if perSecond <= 0 {
		return rate{}
	}
	perSecond = min(max(perSecond, Slowest), fastest)
	return rate{perSecond, nanoseconds(burstOf(perSecond, burst), perSecond)}
}

// nanoseconds returns how long so many bytes take, at most a year.
func nanoseconds(bytes, perSecond int64) int64 {
	const year = 365 * 24 * time.Hour
	return int64(min(float64(bytes)/float64(perSecond)*1e9, float64(year)))
}

// A bucket is what a key may use, and it may be overdrawn. The zero value is full.
type bucket struct {
	// full is when it will be full again. That it holds less is the same as this being
	// later, so one number tells both time and tokens.
	full atomic.Int64
}

// charge takes n bytes out, whether they are there or not.
func (b *bucket) charge(r rate, n int, now int64) {
	took := nanoseconds(int64(n), r.perSecond)
	for {
		full := b.full.Load()
		if b.full.CompareAndSwap(full, min(max(full, now), math.MaxInt64-took)+took) {
			return
		}
	}
}

// owes returns how long it takes until nothing is owed any more.
func (b *bucket) owes(r rate, now int64) time.Duration {
	if r.perSecond == 0 {
		return 0
	}
	return time.Duration(max(0, b.full.Load()-now-r.full))
}
