package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/detour-relay/detour/internal/coordstore"
)

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
