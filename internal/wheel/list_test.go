package wheel

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// A thing is on a list once, whoever adds it, and again after it was taken.
func TestThingsAreListedOnce(t *testing.T) {
	var l List[int]
	var listed [100]atomic.Bool
	for range 3 {
		var adding sync.WaitGroup
		for range 4 {
			adding.Go(func() {
				for i := range listed {
					l.Add(i, &listed[i])
				}
			})
		}
		adding.Wait()
		got := l.Take()
		slices.Sort(got)
		for i := range listed {
			if len(got) != len(listed) || got[i] != i || !listed[i].Swap(false) {
				t.Fatalf("taken: %v", got)
			}
		}
		if again := l.Take(); len(again) > 0 {
			t.Fatalf("taken twice: %v", again)
		}
	}
}
