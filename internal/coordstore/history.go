package coordstore

import (
	"crypto/rand"
	"slices"
	"sort"
	"time"

	"github.com/detour-relay/detour/internal/retry"
)

// A history is a bucket of a Memory: for each key the last change, in the order of
// the revisions. What it replaced stays in its place as a gap until all have become
// twice as many. Guarded by the mutex of what is kept.
type history struct {
	epoch   string
	last    uint64         // revision
	log     []change       // by revision
	tidied  int            // how many it had after the last tidy
	at      map[string]int // of each key's change, in log
	seen    map[*uint64]bool
	changed retry.Broadcast
}

type change struct {
	Entry
	gap  bool
	when time.Time
}

func newHistory() *history {
	return &history{epoch: rand.Text(), at: map[string]int{}, seen: map[*uint64]bool{}}
}

// find returns the revision of a key, 0 if nothing stands there.
func (h *history) find(key string) uint64 {
	i, ok := h.at[key]
	if !ok || h.log[i].Value == nil {
		return 0
	}
	return h.log[i].Revision
}

func (h *history) add(key string, value []byte) uint64 {
	h.last++
	if i, ok := h.at[key]; ok {
		h.log[i] = change{Entry: Entry{Revision: h.log[i].Revision}, gap: true}
	}
	h.at[key] = len(h.log)
	h.log = append(h.log, change{Entry: Entry{Key: key, Value: value, Revision: h.last}, when: time.Now()})
	if len(h.log) > 2*h.tidied+64 {
		h.tidy()
	}
	h.changed.Send()
	return h.last
}

// tidy closes the gaps, and forgets the deletes that are old and that all have seen.
func (h *history) tidy() {
	slowest := h.last
	for seen := range h.seen {
		slowest = min(slowest, *seen)
	}
	old := time.Now().Add(-DeletesKept)
	h.log = slices.DeleteFunc(h.log, func(c change) bool {
		if c.gap {
			return true
		}
		forgotten := c.Value == nil && c.Revision <= slowest && c.when.Before(old)
		if forgotten {
			delete(h.at, c.Key)
		}
		return forgotten
	})
	h.tidied = len(h.log)
	for i, c := range h.log {
		h.at[c.Key] = i
	}
}

// after appends some of the changes after a revision to some.
func (h *history) after(revision uint64, some []Entry) []Entry {
	from := sort.Search(len(h.log), func(i int) bool { return h.log[i].Revision > revision })
	for _, c := range h.log[from:] {
		if len(some) == cap(some) {
			break
		}
		if !c.gap {
			c.Behind = h.last - c.Revision
			some = append(some, c.Entry)
		}
	}
	return some
}
