package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/detour-relay/detour/internal/coordstore"
)

// A Fixture is an engine under test. Its buckets are empty.
type Fixture struct {
	// Store is a coordinator's. The suite does not close it.
	Store coordstore.Store
	// Another returns another coordinator's on the same engine. The suite closes it.
	Another func(t *testing.T) coordstore.Store
	// Break makes writes by Store fail, and the watching break, until Heal. If the
	// engine cannot be broken so, both are nil.
	Break, Heal func(t *testing.T)
	// Remake makes a bucket anew.
	Remake func(t *testing.T, bucket string)
}

// Run tests an engine. Each test has a bucket of its own.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	f := open(t)
	tests := []struct {
		name string
		test func(*testing.T, bench)
	}{
		{"writes say whether they were expected", testCompareAndSet},
		{"of several writers one wins each revision", testContention},
		{"a watcher is told all, in order", testOrder},
		{"all watchers end with the same", testConvergence},
		{"a reload shows what has gone meanwhile", testGoneMeanwhile},
		{"a bucket that is made anew has another epoch", testRemake},
		{"keys and values have bounds", testBounds},
		{"a context that has ended is no conflict", testContexts},
		{"what is closed refuses", testClose},
		{"a slow watcher holds up nobody", testSlow},
		{"what is broken heals", testBreak},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.test(t, bench{f, coordstore.Soft(i)}) })
	}
	t.Run("the hard bucket", func(t *testing.T) { testHard(t, bench{f, coordstore.Hard}) })
}

// A bench is a bucket of an engine.
type bench struct {
	Fixture
	bucket string
}

// watch follows the bucket until the test ends, or until stop.
func (b bench) watch(t *testing.T, s coordstore.Store, r *Recorder) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { coordstore.Follow(ctx, s, b.bucket, r, slog.New(slog.DiscardHandler)) })
	stop = func() { cancel(); done.Wait() }
	t.Cleanup(stop)
	return stop
}

func (b bench) create(t *testing.T, key, value string) uint64 {
	t.Helper()
	revision, err := b.Store.Create(t.Context(), b.bucket, key, []byte(value))
	if err != nil {
		t.Fatalf("create %s: %v", key, err)
	}
	return revision
}

func (b bench) update(t *testing.T, key, value string, expected uint64) uint64 {
	t.Helper()
	revision, err := b.Store.Update(t.Context(), b.bucket, key, []byte(value), expected)
	if err != nil {
		t.Fatalf("update %s: %v", key, err)
	}
	return revision
}

func (b bench) remove(t *testing.T, key string, expected uint64) uint64 {
	t.Helper()
	revision, err := b.Store.Delete(t.Context(), b.bucket, key, expected)
	if err != nil {
		t.Fatalf("delete %s: %v", key, err)
	}
	return revision
}

func testCompareAndSet(t *testing.T, b bench) {
	one := b.create(t, "a", "1")
	two := b.update(t, "a", "2", one)
	if two <= one {
		t.Errorf("revision %d after %d", two, one)
	}
	three := b.remove(t, "a", two)
	four := b.create(t, "a", "4")
	if three <= two || four <= three {
		t.Errorf("revisions %d, %d, %d, which do not grow", two, three, four)
	}
	for name, write := range map[string]func() (uint64, error){
		"create what is there":         func() (uint64, error) { return b.Store.Create(t.Context(), b.bucket, "a", []byte("x")) },
		"update an old revision":       func() (uint64, error) { return b.Store.Update(t.Context(), b.bucket, "a", []byte("x"), two) },
		"update a delete's revision":   func() (uint64, error) { return b.Store.Update(t.Context(), b.bucket, "a", []byte("x"), three) },
		"update with no revision":      func() (uint64, error) { return b.Store.Update(t.Context(), b.bucket, "a", []byte("x"), 0) },
		"update with a later revision": func() (uint64, error) { return b.Store.Update(t.Context(), b.bucket, "a", []byte("x"), four+9) },
		"update what is not there":     func() (uint64, error) { return b.Store.Update(t.Context(), b.bucket, "b", []byte("x"), four) },
		"update nothing":               func() (uint64, error) { return b.Store.Update(t.Context(), b.bucket, "b", []byte("x"), 0) },
		"delete an old revision":       func() (uint64, error) { return b.Store.Delete(t.Context(), b.bucket, "a", one) },
		"delete with no revision":      func() (uint64, error) { return b.Store.Delete(t.Context(), b.bucket, "a", 0) },
		"delete what is not there":     func() (uint64, error) { return b.Store.Delete(t.Context(), b.bucket, "b", 0) },
	} {
		if revision, err := write(); !errors.Is(err, coordstore.ErrConflict) || errors.Is(err, coordstore.ErrUnavailable) {
			t.Errorf("%s: revision %d, %v; want a conflict", name, revision, err)
		}
	}
}

// Each write adds the writer to what it read: if all that were acknowledged stand in
// the end, in the order of their revisions, no revision had two winners.
func testContention(t *testing.T, b bench) {
	const writers, each = 6, 12
	stores := []coordstore.Store{b.Store, b.Another(t)}
	t.Cleanup(func() { stores[1].Close() })
	var mu sync.Mutex
	won := map[uint64]string{}
	var all sync.WaitGroup
	for w := range writers {
		r := &Recorder{}
		stop := b.watch(t, stores[w%2], r)
		all.Go(func() {
			defer stop()
			for n := range each {
				me := fmt.Sprintf("%d.%d ", w, n)
				revision := b.appendTo(t, stores[w%2], r, "list", me)
				mu.Lock()
				if other, taken := won[revision]; taken {
					t.Errorf("revision %d was given to %s and %s", revision, other, me)
				}
				won[revision] = me
				mu.Unlock()
			}
		})
	}
	all.Wait()
	r := &Recorder{}
	b.watch(t, b.Store, r)
	r.AwaitCurrent(t, 1)
	want := ""
	for _, revision := range slices.Sorted(maps.Keys(won)) {
		want += won[revision]
	}
	if got := string(r.Values()["list"].Value); got != want {
		t.Errorf("the list is %q,\nwant %q", got, want)
	}
}

// appendTo appends to the value of a key until that was not a conflict.
func (b bench) appendTo(t *testing.T, s coordstore.Store, r *Recorder, key, text string) uint64 {
	r.AwaitCurrent(t, 1)
	for {
		var revision uint64
		was, err := r.Values()[key], error(nil)
		if was.Value == nil {
			revision, err = s.Create(t.Context(), b.bucket, key, []byte(text))
		} else {
			revision, err = s.Update(t.Context(), b.bucket, key, append(bytes.Clone(was.Value), text...), was.Revision)
		}
		if err == nil {
			return revision
		}
		if !errors.Is(err, coordstore.ErrConflict) {
			t.Error(err)
			return 0
		}
		r.AwaitRevision(t, key, was.Revision+1)
	}
}

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

func testBounds(t *testing.T, b bench) {
	for name, key := range map[string]string{
		"short": "a", "all letters": "azAZ09-_.x", "longest": strings.Repeat("a", 128), "many parts": strings.Repeat("a.", 63) + "a",
	} {
		revision := b.create(t, key, name)
		b.remove(t, key, b.update(t, key, "2", revision))
	}
	for name, key := range map[string]string{
		"none": "", "too long": strings.Repeat("a", 129), "dot first": ".a", "dot last": "a.", "two dots": "a..b", "star": "a.*", "rest": "a.>",
		"space": "a b", "line": "a\nb", "slash": "a/b", "letter of others": "ä", "no letter": "a\xff",
	} {
		_, err := b.Store.Create(t.Context(), b.bucket, key, []byte("x"))
		checkRefused(t, "create, key: "+name, err)
		_, err = b.Store.Update(t.Context(), b.bucket, key, []byte("x"), 1)
		checkRefused(t, "update, key: "+name, err)
		_, err = b.Store.Delete(t.Context(), b.bucket, key, 1)
		checkRefused(t, "delete, key: "+name, err)
	}
	most := bytes.Repeat([]byte{0, 0xff}, 32<<10)
	b.create(t, "large", string(most))
	for name, value := range map[string][]byte{"too large": append(most, 0), "nothing": nil, "empty": {}} {
		_, err := b.Store.Create(t.Context(), b.bucket, "b", value)
		checkRefused(t, "create, value: "+name, err)
		_, err = b.Store.Update(t.Context(), b.bucket, "b", value, 1)
		checkRefused(t, "update, value: "+name, err)
	}
	_, err := b.Store.Create(t.Context(), "other", "b", []byte("x"))
	checkRefused(t, "create in no bucket", err)
	checkRefused(t, "watch no bucket", b.Store.Watch(t.Context(), "other", &Recorder{}))
	r := &Recorder{}
	b.watch(t, b.Store, r)
	r.AwaitCurrent(t, 1)
	if got := r.Values()["large"].Value; !bytes.Equal(got, most) {
		t.Errorf("%d bytes came, not the %d that were written", len(got), len(most))
	}
}

func checkRefused(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, coordstore.ErrConflict) || errors.Is(err, coordstore.ErrUnavailable) {
		t.Errorf("%s: %v; want it to be refused for good", what, err)
	}
}

func testContexts(t *testing.T, b bench) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Store.Create(ended, b.bucket, "a", []byte("x"))
	checkUnavailable(t, "create", err)
	_, err = b.Store.Update(ended, b.bucket, "a", []byte("x"), 1)
	checkUnavailable(t, "update", err)
	_, err = b.Store.Delete(ended, b.bucket, "a", 1)
	checkUnavailable(t, "delete", err)
	if err := b.Store.Watch(ended, b.bucket, &Recorder{}); !errors.Is(err, context.Canceled) {
		t.Errorf("watch: %v", err)
	}
}

func checkUnavailable(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, coordstore.ErrUnavailable) || errors.Is(err, coordstore.ErrConflict) {
		t.Errorf("%s: %v; want unavailable", what, err)
	}
}

func testClose(t *testing.T, b bench) {
	s, r := b.Another(t), &Recorder{}
	broke := make(chan error, 1)
	go func() { broke <- s.Watch(t.Context(), b.bucket, r) }()
	r.AwaitCurrent(t, 1)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-broke; err == nil {
		t.Error("the watching ended without a reason")
	}
	_, err := s.Create(t.Context(), b.bucket, "a", []byte("x"))
	checkUnavailable(t, "create", err)
	if err := s.Watch(t.Context(), b.bucket, &Recorder{}); err == nil {
		t.Error("watching what is closed ended without a reason")
	}
	if s.State().Writable {
		t.Error("what is closed says that it can be written to")
	}
	s.Close()
	b.create(t, "a", "another is not closed")
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

func testBreak(t *testing.T, b bench) {
	if b.Break == nil {
		return
	}
	r := &Recorder{}
	gone := b.create(t, "gone", "1")
	kept := b.create(t, "kept", "1")
	b.watch(t, b.Store, r)
	r.AwaitCurrent(t, 1)
	another := b.Another(t)
	t.Cleanup(func() { another.Close() })
	b.Break(t)
	_, err := b.Store.Create(t.Context(), b.bucket, "meanwhile", []byte("x"))
	checkUnavailable(t, "create", err)
	_, err = b.Store.Update(t.Context(), b.bucket, "kept", []byte("x"), kept)
	checkUnavailable(t, "update", err)
	if s := b.Store.State(); s.Writable || s.Reason == "" || s.Since.IsZero() {
		t.Errorf("its state is %+v", s)
	}
	if len(r.Values()) != 2 {
		t.Errorf("the watcher has %v", r.Values())
	}
	b.Heal(t)
	b.remove(t, "gone", gone)
	r.awaitGone(t, "gone")
	if s := b.Store.State(); !s.Writable || s.Reason != "" {
		t.Errorf("its state is %+v", s)
	}
}

func testHard(t *testing.T, b bench) {
	text := bytes.Repeat([]byte("region "), 512<<10)
	r := &Recorder{}
	b.watch(t, b.Store, r)
	r.AwaitCurrent(t, 1)
	revision := b.create(t, "map", string(text))
	r.AwaitRevision(t, "map", revision)
	if got := r.Values()["map"].Value; !bytes.Equal(got, text) {
		t.Errorf("%d bytes came, not the %d that were written", len(got), len(text))
	}
	_, err := b.Store.Update(t.Context(), b.bucket, "map", make([]byte, 4<<20+1), revision)
	checkRefused(t, "a value that is too large", err)
	b.remove(t, "map", revision)
	r.awaitGone(t, "map")
}
