package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/retry"
)

// patience is for an engine that does not do at all what a test waits for.
const patience = 60 * time.Second

// A Recorder is a watcher that keeps what it is told, and checks that this comes as
// a Watcher may expect it.
type Recorder struct {
	mu       sync.Mutex
	changed  retry.Broadcast
	epochs   []string // of each Begin
	currents int      // how often there was Current
	loading  bool     // between Begin and Current
	next     map[string]coordstore.Entry
	now      map[string]coordstore.Entry // what stands there, as of the last Current and since
	gone     []string                    // keys that a reload did not tell of, or whose delete was told of
	last     uint64                      // revision since Begin
	fault    error
	slow     time.Duration // of each entry
}

func (r *Recorder) Begin(epoch string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if epoch == "" {
		r.fault = errors.Join(r.fault, errors.New("an epoch without a name"))
	}
	r.epochs = append(r.epochs, epoch)
	r.loading, r.last, r.next = true, 0, map[string]coordstore.Entry{}
}

func (r *Recorder) Entry(e coordstore.Entry) {
	time.Sleep(r.slow)
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Revision <= r.last {
		r.fault = errors.Join(r.fault, fmt.Errorf("%s: revision %d after %d", e.Key, e.Revision, r.last))
	}
	if e.Value != nil && len(e.Value) == 0 {
		r.fault = errors.Join(r.fault, fmt.Errorf("%s: an empty value", e.Key))
	}
	r.last = e.Revision
	into := r.now
	if r.loading {
		into = r.next
	}
	if _, was := into[e.Key]; e.Value == nil {
		delete(into, e.Key)
		if was && !r.loading {
			r.gone = append(r.gone, e.Key)
		}
	} else {
		into[e.Key] = e
	}
	r.changed.Send()
}

func (r *Recorder) Current() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.loading {
		r.fault = errors.Join(r.fault, errors.New("current without a beginning"))
	}
	for key := range r.now {
		if _, still := r.next[key]; !still {
			r.gone = append(r.gone, key)
		}
	}
	r.loading, r.now = false, r.next
	r.currents++
	r.changed.Send()
}

// Values is what stands in the bucket as far as the recorder has been told.
func (r *Recorder) Values() map[string]coordstore.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.now)
}

// Gone are the keys of whose end the recorder has been told, or which a reload did not
// have any more.
func (r *Recorder) Gone() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.gone)
}

// Epoch is that of the last Begin.
func (r *Recorder) Epoch() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epochs[len(r.epochs)-1]
}

// AwaitCurrent waits until there was Current so many times.
func (r *Recorder) AwaitCurrent(t testing.TB, times int) {
	t.Helper()
	r.await(t, fmt.Sprintf("current %d times", times), func() bool { return r.currents >= times })
}

// AwaitRevision waits until a key is known with this revision or a later one, which
// for a delete means that it is not known.
func (r *Recorder) AwaitRevision(t testing.TB, key string, revision uint64) {
	t.Helper()
	r.await(t, fmt.Sprintf("%s at revision %d", key, revision), func() bool { return !r.loading && r.now[key].Revision >= revision })
}

func (r *Recorder) awaitGone(t testing.TB, key string) {
	t.Helper()
	r.await(t, key+" gone", func() bool {
		_, there := r.now[key]
		return !r.loading && r.currents > 0 && !there
	})
}

func (r *Recorder) await(t testing.TB, what string, reached func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		r.mu.Lock()
		changed, done, fault := r.changed.Wait(), reached(), r.fault
		r.mu.Unlock()
		if fault != nil {
			t.Fatal(fault)
		}
		if done {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the watcher never had %s: current %d times, %d values, last revision %d", what, r.currents, len(r.now), r.last)
		}
	}
}
