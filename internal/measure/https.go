package measure

import (
	"context"
	"sync"

	"github.com/detour-relay/detour/internal/home"
)

// https times the regions for which the round wants it, all at once, and notes in failed why some could not be.
func (r *run) https(ctx context.Context, failed map[int]error) {
	if r.cfg.HTTPS == nil {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, home.HTTPSLimit, errTooLate)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, region := range r.round.Fallback() {
		all.Go(func() {
			took, err := r.cfg.HTTPS(ctx, region)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[region] = err
				return
			}
			delete(failed, region)
			r.round.AnswerFallback(region, took)
		})
	}
	all.Wait()
}
