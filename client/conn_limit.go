package client

import (
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/rate"
)

// newLimit is the sending limit that a relay asks for, in bytes of frames; nil: none.
func newLimit(info derp.ServerInfo) *rate.Meter {
	if info.TokenBucketBytesPerSecond <= 0 {
		return nil
	}
	limit := rate.Limit{PerSecond: float64(info.TokenBucketBytesPerSecond), Burst: float64(info.TokenBucketBytesBurst)}
	return rate.NewMeter(limit, time.Now())
}
