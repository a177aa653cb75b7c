package coordstore

import (
	"context"
	"errors"
)

// inOneGo is how many entries a watcher is told of between two looks at the store.
const inOneGo = 256

// A view is how far a watcher of a Memory is.
type view struct {
	m      *Memory
	bucket string
	of     *history
	breaks int    // of the store, when the watching began
	seen   uint64 // revision; guarded by the mutex of what is kept
}

func (m *Memory) Watch(ctx context.Context, bucket string, w Watcher) error {
	if err := CheckBucket(bucket); err != nil {
		return err
	}
	v, end, err := m.view(ctx, bucket)
	if err != nil {
		return err
	}
	defer v.close()
	w.Begin(v.of.epoch)
	for loading := true; ; {
		some, err := v.next(ctx, loading)
		if err != nil {
			return err
		}
		for _, e := range some {
			if loading && e.Revision > end {
				w.Current()
				loading = false
			}
			w.Entry(e)
		}
		if loading && len(some) == 0 {
			w.Current()
			loading = false
		}
	}
}

func (m *Memory) view(ctx context.Context, bucket string) (v *view, end uint64, err error) {
	m.kept.mu.Lock()
	defer m.kept.mu.Unlock()
	if err := m.readyLocked(ctx); err != nil {
		return nil, 0, err
	}
	v = &view{m: m, bucket: bucket, of: m.kept.buckets[bucket], breaks: m.breaks}
	v.of.seen[&v.seen] = true
	return v, v.of.last, nil
}

func (v *view) close() {
	v.m.kept.mu.Lock()
	defer v.m.kept.mu.Unlock()
	delete(v.of.seen, &v.seen)
}

// next returns what has come after what it returned before; it waits until there is
// something, unless nothing is wanted, too.
func (v *view) next(ctx context.Context, orNothing bool) ([]Entry, error) {
	v.m.kept.mu.Lock()
	defer v.m.kept.mu.Unlock()
	for {
		if err := v.checkLocked(ctx); err != nil {
			return nil, err
		}
		if some := v.of.after(v.seen, make([]Entry, 0, inOneGo)); len(some) > 0 || orNothing {
			if len(some) > 0 {
				v.seen = some[len(some)-1].Revision
			}
			return some, nil
		}
		v.waitLocked(ctx)
	}
}

func (v *view) checkLocked(ctx context.Context) error {
	if err := v.m.readyLocked(ctx); err != nil {
		return err
	}
	switch {
	case v.m.breaks != v.breaks:
		return errors.New("the connection was broken")
	case v.m.kept.buckets[v.bucket] != v.of:
		return errors.New("the bucket has been made anew")
	}
	return nil
}

func (v *view) waitLocked(ctx context.Context) {
	written, changed := v.of.changed.Wait(), v.m.changed.Wait()
	v.m.kept.mu.Unlock()
	select {
	case <-written:
	case <-changed:
	case <-ctx.Done():
	}
	v.m.kept.mu.Lock()
}
