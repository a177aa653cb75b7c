package client

import (
	"time"

	"github.com/detour-relay/detour/derp"
)

// bucket is the sending limit that a relay may ask for: tokens are bytes of frames. It begins full.
type bucket struct {
	perSecond, burst float64
	tokens           float64
	filled           time.Time
}

// newBucket returns nil if info asks for no limit.
func newBucket(info derp.ServerInfo, now time.Time) *bucket {
	if info.TokenBucketBytesPerSecond <= 0 {
		return nil
	}
	burst := float64(info.TokenBucketBytesBurst)
	return &bucket{perSecond: float64(info.TokenBucketBytesPerSecond), burst: burst, tokens: burst, filled: now}
}

// fill adds what has come in up to now.
func (b *bucket) fill(now time.Time) {
	b.tokens = min(b.burst, b.tokens+b.perSecond*now.Sub(b.filled).Seconds())
	b.filled = now
}

// take reports whether n bytes may be sent, and pays for them.
func (b *bucket) take(n int) bool {
	if b.tokens < float64(n) {
		return false
	}
	b.tokens -= float64(n)
	return true
}
