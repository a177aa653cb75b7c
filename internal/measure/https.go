package measure

import (
	"context"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/home"
)

// https times the regions for which the round wants it, all at once, and returns why some could not be.
func (r *run) https(ctx context.Context) map[int]error {
	regions := r.round.Fallback()
	if r.cfg.HTTPS == nil || len(regions) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, home.HTTPSLimit)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	failed := make(map[int]error)
	for _, region := range regions {
		all.Go(func() {
			took, err := r.cfg.HTTPS(ctx, region)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[region] = err
			} else {
				r.round.AnswerFallback(region, max(took, time.Nanosecond))
			}
		})
	}
	all.Wait()
	return failed
}
