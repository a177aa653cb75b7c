package mesh

import (
	"sync"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

const (
	// sendBackOnce is how long a peer that was sent back is left alone: if it comes
	// here again, it cannot reach its ideal node.
	sendBackOnce = time.Hour

	// maxSentBack bounds the peers that are remembered for that. While there are as
	// many, nobody is sent back.
	maxSentBack = 1 << 16
)

// A sender sends peers of a relay back to their ideal node, each once an hour at
// most.
type sender struct {
	relay *relay.Server

	mu     sync.Mutex
	sentAt map[key.Public]time.Time // guarded by mu
}

// closeNotIdeal closes conns whose peers said that they would rather be on the
// node named ideal, at most atMost of them, and none that has had packets within
// the time called quiet. It returns how many it closed.
func (s *sender) closeNotIdeal(ideal string, quiet time.Duration, atMost int) (closed int) {
	if ideal == "" {
		return 0
	}
	s.forget()
	return s.relay.Close(func(p relay.PeerState) bool {
		return p.IdealNode == ideal && time.Since(p.Used) > quiet && s.note(p.Peer)
	}, relay.ErrRebalanced, atMost)
}

// note remembers a peer as one that is sent back now, unless it was lately.
func (s *sender) note(peer key.Public) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, lately := s.sentAt[peer]; lately || len(s.sentAt) >= maxSentBack {
		return false
	}
	if s.sentAt == nil {
		s.sentAt = make(map[key.Public]time.Time)
	}
	s.sentAt[peer] = time.Now()
	return true
}

func (s *sender) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for peer, at := range s.sentAt {
		if time.Since(at) > sendBackOnce {
			delete(s.sentAt, peer)
		}
	}
}
