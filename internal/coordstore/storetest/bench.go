package storetest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/detour-relay/detour/internal/coordstore"
)

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
