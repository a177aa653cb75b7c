package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/detour-relay/detour/internal/coordstore"
)

// testConvergence has writers that change, delete and create a few keys at random,
// and watchers that stop and begin again: in the end all watchers must have what the
// acknowledged writes leave.
func testConvergence(t *testing.T, b bench) {
	const writers, watchers, writes = 4, 4, 80
	another := b.Another(t)
	t.Cleanup(func() { another.Close() })
	stores := []coordstore.Store{b.Store, another}
	recorders := make([]*Recorder, watchers)
	for i := range recorders {
		recorders[i] = &Recorder{}
	}
	writing := make(chan struct{})
	var watching, all sync.WaitGroup
	for i, r := range recorders {
		watching.Go(func() { b.stopAndStart(t, stores[i%2], r, writing) })
	}
	want := make([]map[string]uint64, writers)
	for w := range writers {
		want[w] = map[string]uint64{}
		all.Go(func() { b.scribble(t, stores[w%2], fmt.Sprintf("w%d", w), writes, want[w]) })
	}
	all.Wait()
	close(writing)
	watching.Wait()
	end := b.create(t, "end", "x")
	state := map[string]uint64{"end": end}
	for _, w := range want {
		maps.Copy(state, w)
	}
	for i, r := range recorders {
		b.watch(t, stores[i%2], r)
		r.AwaitRevision(t, "end", end)
		checkRevisions(t, r, state)
	}
}

// scribble writes to keys that are its own, and notes what must stand there. One in
// five writes expects what is not so.
func (b bench) scribble(t *testing.T, s coordstore.Store, prefix string, writes int, stands map[string]uint64) {
	for range writes {
		key := fmt.Sprintf("%s.%d", prefix, rand.IntN(8))
		expected, there := stands[key]
		if rand.IntN(5) == 0 {
			if _, err := s.Update(t.Context(), b.bucket, key, []byte("wrong"), expected+1_000_000); !errors.Is(err, coordstore.ErrConflict) {
				t.Errorf("update with a wrong revision: %v", err)
			}
		}
		var err error
		switch {
		case !there:
			stands[key], err = s.Create(t.Context(), b.bucket, key, []byte("created"))
		case rand.IntN(3) == 0:
			_, err = s.Delete(t.Context(), b.bucket, key, expected)
			delete(stands, key)
		default:
			stands[key], err = s.Update(t.Context(), b.bucket, key, []byte("updated"), expected)
		}
		if err != nil {
			t.Errorf("%s at revision %d: %v", key, expected, err)
			return
		}
	}
}

// stopAndStart watches, and begins anew each time that it is current and some more has
// come, while there is writing.
func (b bench) stopAndStart(t *testing.T, s coordstore.Store, r *Recorder, writing <-chan struct{}) {
	for times := 1; ; times++ {
		stop := b.watch(t, s, r)
		r.AwaitCurrent(t, times)
		some := r.changed.Wait()
		select {
		case <-some:
			stop()
		case <-writing:
			stop()
			return
		}
	}
}
