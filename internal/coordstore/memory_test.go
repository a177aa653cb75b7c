package coordstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/coordstore/storetest"
)

func TestMemoryIsAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		m := coordstore.NewMemory()
		return storetest.Fixture{
			Store:   m,
			Another: func(t *testing.T) coordstore.Store { return m.Share() },
			Break:   func(t *testing.T) { m.Break() },
			Heal:    func(t *testing.T) { m.Heal() },
			Remake:  func(t *testing.T, bucket string) { m.Remake(bucket) },
		}
	})
}

func TestPauseHangsUntilHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := coordstore.NewMemory()
		other := m.Share()
		var r storetest.Recorder
		watching, end := context.WithCancel(t.Context())
		defer end()
		var all sync.WaitGroup
		all.Go(func() { coordstore.Follow(watching, m, coordstore.Hard, &r, slog.New(slog.DiscardHandler)) })
		synctest.Wait()
		m.Pause()
		if m.State().Writable || !other.State().Writable {
			t.Error("the wrong one is paused")
		}
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := m.Create(short, coordstore.Hard, "a", []byte("x")); !errors.Is(err, coordstore.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a write while it is paused: %v", err)
		}
		if _, err := other.Create(t.Context(), coordstore.Hard, "a", []byte("x")); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(r.Values()) != 0 {
			t.Error("a watcher heard of something while the store was paused")
		}
		m.Heal()
		synctest.Wait()
		if len(r.Values()) != 1 {
			t.Error("the watcher was told nothing after the pause")
		}
		end()
		all.Wait()
	})
}

// A breaking store is one whose watching always breaks.
type breaking struct {
	coordstore.Store
	lasts time.Duration
	calls []time.Time
}

func (b *breaking) Watch(ctx context.Context, bucket string, w coordstore.Watcher) error {
	b.calls = append(b.calls, time.Now())
	w.Begin("1")
	w.Current()
	select {
	case <-time.After(b.lasts):
		return errors.New("broken")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestFollowWaitsLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &breaking{Store: coordstore.NewMemory()}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		coordstore.Follow(ctx, b, coordstore.Hard, &storetest.Recorder{}, slog.New(slog.DiscardHandler))
		if most := 3600/22 + 8; len(b.calls) > most || len(b.calls) < 90 {
			t.Errorf("%d calls in an hour, want at most %d", len(b.calls), most)
		}
		if first := b.calls[1].Sub(b.calls[0]); first < 750*time.Millisecond || first > 1250*time.Millisecond {
			t.Errorf("the first pause is %v", first)
		}
	})
}

func TestFollowBeginsAgainAtOnceIfItHadLasted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &breaking{Store: coordstore.NewMemory(), lasts: time.Minute}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour-time.Second)
		defer cancel()
		coordstore.Follow(ctx, b, coordstore.Hard, &storetest.Recorder{}, slog.New(slog.DiscardHandler))
		if len(b.calls) != 60 {
			t.Errorf("%d calls in an hour, want one each minute", len(b.calls))
		}
	})
}

// Deletes stay for a day, and then do not pile up.
func TestMemoryForgetsOldDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := coordstore.NewMemory()
		churn := func(round int) {
			for n := range 1000 {
				key := fmt.Sprintf("%d.%d", round, n)
				revision, err := m.Create(t.Context(), coordstore.Hard, key, []byte("x"))
				if err == nil {
					_, err = m.Delete(t.Context(), coordstore.Hard, key, revision)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		churn(0)
		if got := deletes(t, m); got != 1000 {
			t.Errorf("%d deletes are told of, want 1000", got)
		}
		for round := range 9 {
			time.Sleep(coordstore.DeletesKept + time.Second)
			churn(round + 1)
		}
		if got := deletes(t, m); got < 1000 || got > 3000 {
			t.Errorf("%d deletes are told of after ten days, want those of the last day and few more", got)
		}
	})
}

func deletes(t *testing.T, m *coordstore.Memory) int {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var c counter
	c.done = cancel
	m.Watch(ctx, coordstore.Hard, &c)
	return c.deletes
}

type counter struct {
	deletes int
	done    func()
}

func (c *counter) Begin(string) {}
func (c *counter) Current()     { c.done() }
func (c *counter) Entry(e coordstore.Entry) {
	if e.Value == nil {
		c.deletes++
	}
}
