package clients

import (
	"cmp"
	"container/heap"
	"iter"
	"slices"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// A Page is what a query picks. Its counts are about all that the filter takes, wherever
// the page begins.
type Page struct {
	Peers     []relay.PeerState
	Conns     int
	Keys      int
	Remaining int // behind this page
}

// Page walks over all connections once and keeps those that belong on the page.
func (q *Query) Page(all iter.Seq[relay.PeerState]) Page {
	h := nearest[relay.PeerState]{compare: q.compare, most: q.Limit}
	var found Page
	several := make(map[key.Public]struct{}) // keys that have more than one connection
	past := 0
	var p relay.PeerState // one for all: an allocation each would cost more than the walk
	for p = range all {
		if !q.Picks(&p) {
			continue
		}
		found.Conns++
		if p.Duplicate {
			several[p.Peer] = struct{}{}
		} else {
			found.Keys++
		}
		if q.isPast(&p) {
			past++
			h.offer(&p)
		}
	}
	found.Keys += len(several)
	found.Peers, found.Remaining = h.sorted(), past-len(h.kept)
	return found
}

// compare is the order of the walk, in which no two connections are equal.
func (q *Query) compare(a, b *relay.PeerState) int {
	c := cmp.Or(q.column.compare(a, b), cmp.Compare(a.ID, b.ID))
	if q.Desc {
		return -c
	}
	return c
}

// isPast reports whether a connection comes behind the cursor. One without a number is
// behind all that have its value.
func (q *Query) isPast(p *relay.PeerState) bool {
	if q.after == nil {
		return true
	}
	c := q.column.compare(p, &q.after.mark)
	if c == 0 && !q.after.numbered {
		return false
	}
	if c = cmp.Or(c, cmp.Compare(p.ID, q.after.mark.ID)); q.Desc {
		c = -c
	}
	return c > 0
}

// nearest keeps the first of a walk, as many as are wanted, as a heap with the last of
// them on top once there are so many.
type nearest[T any] struct {
	compare func(a, b *T) int
	most    int // 0: all
	kept    []T
}

func (n *nearest[T]) offer(p *T) {
	switch {
	case n.most == 0 || len(n.kept) < n.most-1:
		n.kept = append(n.kept, *p)
	case len(n.kept) < n.most:
		n.kept = append(n.kept, *p)
		heap.Init(n)
	case n.compare(p, &n.kept[0]) < 0:
		n.kept[0] = *p
		heap.Fix(n, 0)
	}
}

// sorted are those that are kept, in the order of the walk.
func (n *nearest[T]) sorted() []T {
	slices.SortFunc(n.kept, func(a, b T) int { return n.compare(&a, &b) })
	return n.kept
}

func (n *nearest[T]) Len() int           { return len(n.kept) }
func (n *nearest[T]) Less(i, j int) bool { return n.compare(&n.kept[i], &n.kept[j]) > 0 }
func (n *nearest[T]) Swap(i, j int)      { n.kept[i], n.kept[j] = n.kept[j], n.kept[i] }
func (n *nearest[T]) Push(any)           { panic("clients: only its top is replaced") }
func (n *nearest[T]) Pop() any           { panic("clients: only its top is replaced") }
