package chores

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whoever gives chores, also one that is done, each is done once, one at a time, and those of
// one giver in their order.
func TestChoresAreDone(t *testing.T) {
	const givers, each = 8, 500
	var c Chores
	var all, giving sync.WaitGroup
	all.Add(2 * givers * each)
	var atWork sync.Mutex
	last := make([]int, givers)
	for g := range givers {
		giving.Go(func() {
			for n := range each {
				c.Do(func() {
					if !atWork.TryLock() {
						t.Error("two at a time")
						return
					}
					defer atWork.Unlock()
					if last[g] != n {
						t.Errorf("chore %d instead of %d", n, last[g])
					}
					last[g]++
					c.Do(all.Done)
					all.Done()
				})
			}
		})
	}
	giving.Wait()
	all.Wait()
}

// A chore that takes long holds up the next ones, and nobody who gives one.
func TestGiversDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Chores
		began, done := time.Now(), make(chan time.Duration, 2)
		for range 2 {
			c.Do(func() {
				time.Sleep(time.Hour)
				done <- time.Since(began)
			})
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("it waited for %v", d)
		}
		if first, second := <-done, <-done; first != time.Hour || second != 2*time.Hour {
			t.Errorf("done after %v and %v", first, second)
		}
	})
}
