package coordstore

import (
	"context"
	"log/slog"
	"time"

	"github.com/detour-relay/detour/internal/retry"
)

const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
	lasted     = 10 * time.Second // so long is long enough for the next break to be a new one
)

// Follow watches a bucket until ctx ends. When the watching breaks it begins again:
// at once if it had lasted, otherwise after a pause that grows, as an engine that is
// in trouble must not get everybody's watchers on top. The watcher finds out at each
// Current what has gone meanwhile.
func Follow(ctx context.Context, s Store, bucket string, w Watcher, log *slog.Logger) {
	pause := retry.Backoff{First: firstPause, Most: lastPause}
	for ctx.Err() == nil {
		f := follower{Watcher: w}
		err := s.Watch(ctx, bucket, &f)
		if ctx.Err() != nil {
			return
		}
		wait := pause.Next()
		if !f.current.IsZero() && time.Since(f.current) >= lasted {
			wait = 0
			pause.Reset()
		}
		log.Warn("the watching of a bucket broke, it is begun again", "bucket", bucket, "err", err, "after", wait)
		retry.Rest(ctx, wait, nil)
	}
}

// A follower notes since when a watcher has been current.
type follower struct {
	Watcher
	current time.Time
}

func (f *follower) Current() {
	f.current = time.Now()
	f.Watcher.Current()
}
