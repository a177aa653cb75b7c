package measure

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSharedAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s shared[string, int]
		asked := 0
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				got, err := s.of(t.Context(), "a", func() (int, error) {
					asked++
					time.Sleep(time.Second)
					return 7, nil
				})
				if got != 7 || err != nil {
					t.Errorf("%d, %v", got, err)
				}
			})
		}
		all.Wait()
		fails := func() (int, error) { return 8, errNoRoute }
		for range 2 {
			if _, err := s.of(t.Context(), "b", fails); err != errNoRoute {
				t.Error(err)
			}
		}
		var found []int
		s.found(func(n int) { found = append(found, n) })
		if asked != 1 || len(found) != 1 || found[0] != 7 {
			t.Errorf("asked %d times, found %v", asked, found)
		}
	})
}

// Who waits for somebody else's answer can leave.
func TestSharedIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s shared[string, int]
		var first sync.WaitGroup
		defer first.Wait()
		first.Go(func() { s.of(t.Context(), "a", func() (int, error) { time.Sleep(time.Minute); return 7, nil }) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := s.of(ctx, "a", func() (int, error) { t.Error("asked again"); return 0, nil })
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
