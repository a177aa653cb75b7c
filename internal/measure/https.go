package measure

import (
	"context"
	"sync"

	"github.com/detour-relay/detour/internal/home"
)

// maxTimed regions are timed over HTTPS at once. Only large maps have more; what
// does not come to its turn within the time of a report is not timed.
const maxTimed = 128

// https times the regions for which the round wants it, and notes in failed why
// some could not be.
func (r *run) https(ctx context.Context, failed map[int]error) {
	if r.cfg.HTTPS == nil {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, home.HTTPSLimit, errTooLate)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	free := make(chan struct{}, maxTimed)
	for _, region := range r.round.Fallback() {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil { // also if its turn came: those before it end in the same moment
			mu.Lock()
			failed[region] = context.Cause(ctx)
			mu.Unlock()
			continue
		}
		all.Go(func() {
			defer func() { <-free }()
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
