package relay

import (
	"container/list"
	"sync"
)

// A login may be 256 KiB long (spec 3.2), and whoever sends it has proven nothing
// yet. Real ones are below 1 KB. So each has that much to itself, and all together
// share what more they need; when it runs out, the oldest of the large ones gives
// way.

const (
	freeLogin   = 1 << 10
	loginBudget = 16 << 20
)

// loginMemory is what the logins under way share.
type loginMemory struct {
	mu    sync.Mutex
	used  int       // guarded by mu: bytes
	large list.List // guarded by mu: of *loginShare, the oldest first
}

// A loginShare is what one login has of it.
type loginShare struct {
	memory *loginMemory // set once
	stream Stream       // set once: closed if it gives way

	size    int           // guarded by memory.mu
	at      *list.Element // guarded by memory.mu: in large; nil: it is not there
	gaveWay bool          // guarded by memory.mu
}

// resize asks for size bytes instead of those that the login has. Others give way
// for it; if it is the oldest itself, it fails.
func (s *loginShare) resize(size int) error {
	m := s.memory
	m.mu.Lock()
	if s.at == nil && !s.gaveWay {
		s.at = m.large.PushBack(s)
	}
	var leave []*loginShare
	for !s.gaveWay && m.used-s.size+size > loginBudget {
		oldest := m.large.Front().Value.(*loginShare)
		oldest.gaveWay = true
		oldest.releaseLocked()
		leave = append(leave, oldest)
	}
	gaveWay := s.gaveWay
	if !gaveWay {
		m.used += size - s.size
		s.size = size
	}
	m.mu.Unlock()
	for _, other := range leave {
		other.stream.Close()
	}
	if gaveWay {
		return ErrLoginMemory
	}
	return nil
}

// release gives everything back, and reports whether the login had to give way.
func (s *loginShare) release() (gaveWay bool) {
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	s.releaseLocked()
	return s.gaveWay
}

func (s *loginShare) releaseLocked() {
	if s.at == nil {
		return
	}
	s.memory.large.Remove(s.at)
	s.memory.used -= s.size
	s.at, s.size = nil, 0
}
