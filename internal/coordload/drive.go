package coordload

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/detour-relay/detour/key"
)

// Drive has members report changed homes for a while, so many a second, or as fast as
// reports are taken if perSecond is 0, and returns how long each took. At most atOnce
// are under way.
func (c *Crowd) Drive(ctx context.Context, long time.Duration, perSecond float64, atOnce int) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	turns := c.turns(ctx, long, perSecond)
	took := make([][]time.Duration, min(atOnce, len(c.members)))
	var all sync.WaitGroup
	for w := range took {
		all.Go(func() {
			home := 0
			for range turns {
				// Nobody else reports as one of these: a member's reports are one after the other.
				i := rand.IntN((len(c.members)-w-1)/len(took)+1)*len(took) + w
				home++
				began := time.Now()
				if err := c.Report(ctx, i, 1+home%4, key.NewPrivate().Public()); err != nil {
					cancel(err)
					return
				}
				took[w] = append(took[w], time.Since(began))
			}
		})
	}
	all.Wait()
	return slices.Concat(took...), context.Cause(ctx)
}

// turns gives one for each report, until the time is over.
func (c *Crowd) turns(ctx context.Context, long time.Duration, perSecond float64) <-chan struct{} {
	turns := make(chan struct{})
	go func() {
		defer close(turns)
		began, most := time.Now(), perSecond*long.Seconds()
		for n := 1.0; ; n++ {
			if perSecond > 0 {
				time.Sleep(time.Until(began.Add(time.Duration(n / perSecond * float64(time.Second)))))
			}
			select {
			case turns <- struct{}{}:
			case <-ctx.Done():
				return
			}
			if perSecond > 0 && n >= most || perSecond == 0 && time.Since(began) >= long {
				return
			}
		}
	}()
	return turns
}
