// Package budget bounds the memory that many hold together who may be nobody:
// logins under way, for one. Each has a share, and when the budget runs out, the
// oldest share gives way: its owner is closed.
package budget

import (
	"container/list"
	"io"
	"sync"
)

// A Budget is what all shares are of.
type Budget struct {
	limit int // set once: bytes

	mu    sync.Mutex
	used  int       // guarded by mu: bytes
	large list.List // guarded by mu: of the *Share with bytes, the oldest first
}

// New returns a budget of so many bytes.
func New(limit int) *Budget { return &Budget{limit: limit} }

// A Share is what one owner has of a budget.
type Share struct {
	budget *Budget   // set once
	owner  io.Closer // set once: closed if it gives way

	size    int           // guarded by budget.mu
	at      *list.Element // guarded by budget.mu: in large; nil: it is not there
	gaveWay bool          // guarded by budget.mu
}

// Share returns a share of nothing yet. The owner is closed if it gives way, from
// the goroutine of another.
func (b *Budget) Share(owner io.Closer) *Share { return &Share{budget: b, owner: owner} }

// Resize asks for size bytes instead of those that the share has. Others give way
// for it; if it is the oldest itself, it does, and Resize is false.
func (s *Share) Resize(size int) bool {
	b := s.budget
	b.mu.Lock()
	if s.at == nil && !s.gaveWay {
		s.at = b.large.PushBack(s)
	}
	var leave []*Share
	for !s.gaveWay && b.used-s.size+size > b.limit {
		oldest := b.large.Front().Value.(*Share)
		oldest.gaveWay = true
		oldest.releaseLocked()
		leave = append(leave, oldest)
	}
	gaveWay := s.gaveWay
	if !gaveWay {
		b.used += size - s.size
		s.size = size
	}
	b.mu.Unlock()
	for _, other := range leave {
		other.owner.Close()
	}
	return !gaveWay
}

// Release gives everything back, and reports whether the owner had to give way.
func (s *Share) Release() (gaveWay bool) {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.releaseLocked()
	return s.gaveWay
}

func (s *Share) releaseLocked() {
	if s.at == nil {
		return
	}
	s.budget.large.Remove(s.at)
	s.budget.used -= s.size
	s.at, s.size = nil, 0
}
