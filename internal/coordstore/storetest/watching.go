package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/detour-relay/detour/internal/coordstore"
)

func testOrder(t *testing.T, b bench) {
	revisions := map[string]uint64{}
	for n := range 20 {
		key := fmt.Sprintf("before.%d", n)
		revisions[key] = b.create(t, key, "x")
	}
	b.remove(t, "before.3", revisions["before.3"])
	delete(revisions, "before.3")
	r := &Recorder{}
	b.watch(t, b.Store, r)
	r.AwaitCurrent(t, 1)
	checkRevisions(t, r, revisions)

	for n := range 20 {
		key := fmt.Sprintf("after.%d", n)
		revisions[key] = b.create(t, key, "y")
	}
	revisions["before.5"] = b.update(t, "before.5", "z", revisions["before.5"])
	b.remove(t, "before.7", revisions["before.7"])
	delete(revisions, "before.7")
	revisions["end"] = b.create(t, "end", "z")
	r.AwaitRevision(t, "end", revisions["end"])
	checkRevisions(t, r, revisions)
	if got := string(r.Values()["before.5"].Value); got != "z" {
		t.Errorf("the value is %q, want z", got)
	}
	if !slices.Equal(r.gone, []string{"before.7"}) {
		t.Errorf("it was told of the end of %q, want before.7", r.gone)
	}
}

func checkRevisions(t *testing.T, r *Recorder, want map[string]uint64) {
	t.Helper()
	got := map[string]uint64{}
	for key, e := range r.Values() {
		got[key] = e.Revision
	}
	if !maps.Equal(got, want) {
		t.Errorf("the watcher has %v,\nwant %v", got, want)
	}
}

func testGoneMeanwhile(t *testing.T, b bench) {
	stays, goes := b.create(t, "stays", "1"), b.create(t, "goes", "1")
	again := b.create(t, "again", "1")
	r := &Recorder{}
	stop := b.watch(t, b.Store, r)
	r.AwaitCurrent(t, 1)
	stop()
	b.remove(t, "goes", goes)
	b.remove(t, "again", again)
	again = b.create(t, "again", "2")
	b.watch(t, b.Store, r)
	r.AwaitCurrent(t, 2)
	checkRevisions(t, r, map[string]uint64{"stays": stays, "again": again})
	if !slices.Equal(r.gone, []string{"goes"}) {
		t.Errorf("it was told of the end of %q, want goes", r.gone)
	}
	if r.epochs[0] != r.epochs[1] {
		t.Errorf("the epoch was %q and is %q", r.epochs[0], r.epochs[1])
	}
}

func testRemake(t *testing.T, b bench) {
	old := b.create(t, "old", "1")
	r, other := &Recorder{}, &Recorder{}
	another := b.Another(t)
	t.Cleanup(func() { another.Close() })
	b.watch(t, b.Store, r)
	b.watch(t, another, other)
	for _, r := range []*Recorder{r, other} {
		r.AwaitCurrent(t, 1)
	}
	before := r.Epoch()
	if other.Epoch() != before {
		t.Errorf("the epoch is %q for one coordinator and %q for the other", before, other.Epoch())
	}
	b.Remake(t, b.bucket)
	if _, err := b.Store.Update(t.Context(), b.bucket, "old", []byte("2"), old); !errors.Is(err, coordstore.ErrConflict) {
		t.Errorf("an update of what stood there before: %v; want a conflict", err)
	}
	revision := b.create(t, "new", "1")
	for _, r := range []*Recorder{r, other} {
		r.AwaitCurrent(t, 2)
		r.AwaitRevision(t, "new", revision)
		checkRevisions(t, r, map[string]uint64{"new": revision})
		if r.Epoch() == before {
			t.Errorf("the epoch is still %q", before)
		}
	}
}

func testSlow(t *testing.T, b bench) {
	slow, quick := &Recorder{slow: 1}, &Recorder{}
	hold := make(chan struct{})
	b.watch(t, b.Store, slow)
	b.watch(t, b.Store, quick)
	quick.AwaitCurrent(t, 1)
	slow.AwaitCurrent(t, 1)
	slow.mu.Lock() // the watcher hangs in its next call
	go func() { <-hold; slow.mu.Unlock() }()
	revision := b.create(t, "a", "0")
	for n := range 600 {
		revision = b.update(t, "a", fmt.Sprint(n), revision)
	}
	quick.AwaitRevision(t, "a", revision)
	close(hold)
	slow.AwaitRevision(t, "a", revision)
}
