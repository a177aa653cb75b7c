package storetest

import (
	"testing"
)

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
