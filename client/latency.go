package client

import (
	"context"
	"fmt"
	"time"

	"github.com/detour-relay/detour/internal/measure"
)

// Latency returns how long a relay takes to answer an HTTP request over a
// connection that is already there, without what connecting takes (spec section
// 9.4). It is for where UDP is blocked and STUN cannot tell. It needs no Key.
// Without a deadline of ctx it takes at most 10 s.
func Latency(ctx context.Context, cfg Config) (time.Duration, error) {
	t, err := newTarget(cfg)
	if err != nil {
		return 0, fmt.Errorf("measure relay: %w", err)
	}
	ctx, cancel := withConnectTimeout(ctx)
	defer cancel()
	if err := t.FindProxy(); err != nil {
		return 0, fmt.Errorf("measure relay: %w", err)
	}
	took, err := measure.Latency(ctx, t.Target)
	if err != nil {
		return 0, fmt.Errorf("measure relay %s: %w", t.Location.Redacted(), err)
	}
	return took, nil
}
