package client

import (
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/rate"
)

// bucket is the sending limit that a relay may ask for: tokens are bytes of frames.
// It begins full.
type bucket struct {
	limit rate.Limit
	taken rate.Bucket
	made  time.Time
	now   time.Duration // since made
}

// newBucket returns nil if info asks for no limit.
func newBucket(info derp.ServerInfo, now time.Time) *bucket {
	if info.TokenBucketBytesPerSecond <= 0 {
		return nil
	}
	return &bucket{made: now, limit: rate.Limit{
		PerSecond: float64(info.TokenBucketBytesPerSecond), Burst: float64(info.TokenBucketBytesBurst),
	}}
}

// fill adds what has come in up to now.
func (b *bucket) fill(now time.Time) { b.now = now.Sub(b.made) }

// take reports whether n bytes may be sent, and pays for them.
func (b *bucket) take(n int) bool { return b.taken.Take(b.limit, n, b.now) }
