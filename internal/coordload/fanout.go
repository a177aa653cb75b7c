package coordload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/detour-relay/detour/key"
)

// FanOut has members of one tailnet change their homes, one after the other, and
// returns how long each change took from the report until all other streams had it.
// All members have to be of one tailnet, and their streams open.
func (c *Crowd) FanOut(ctx context.Context, s *Streams, changes int) (took []time.Duration, err error) {
	for range changes {
		i := rand.IntN(len(c.members))
		disco := key.NewPrivate().Public()
		all := s.AwaitDisco(disco, len(c.members)-1)
		began := time.Now()
		if err := c.Report(ctx, i, 1+rand.IntN(4), disco); err != nil {
			return took, err
		}
		select {
		case <-all:
			took = append(took, time.Since(began))
		case <-ctx.Done():
			left := s.awaited.Load().left.Load()
			return took, fmt.Errorf("%d of %d streams were not told of a change: %w", left, len(c.members)-1, context.Cause(ctx))
		}
	}
	return took, nil
}
