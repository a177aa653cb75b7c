package relay

import (
	"time"

	"github.com/detour-relay/detour/key"
)

// Rebalancing sends peers back to their ideal node after a failure has split
// them: their conns are closed in a quiet moment, and they choose again.

const (
	// rebalanceOnce is how long a peer that was sent back is left alone: if it comes
	// here again, it cannot reach its ideal node.
	rebalanceOnce = time.Hour

	// maxRebalanced bounds the peers that are remembered for that. While there are as
	// many, nobody is sent back.
	maxRebalanced = 1 << 16
)

// CloseNotIdeal closes conns whose peers said that they would rather be on the
// node named ideal, at most atMost of them, and none that has had packets within
// the time called quiet. It returns how many it closed. A peer is sent back once
// an hour at most.
func (s *Server) CloseNotIdeal(ideal string, quiet time.Duration, atMost int) (closed int) {
	now := s.now()
	sentBack := s.sentBack(now)
	s.routes.each(func(c *conn) {
		if closed >= atMost || ideal == "" || c.ideal != ideal || c.quietSince() >= now-int64(quiet) || sentBack(c.key) {
			return
		}
		c.close(ErrRebalanced)
		closed++
	})
	return closed
}

// sentBack returns a function that reports whether a peer was sent back lately,
// and remembers it as one that is sent back now otherwise.
func (s *Server) sentBack(now int64) func(peer key.Public) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for peer, at := range s.rebalanced {
		if now-at > int64(rebalanceOnce) {
			delete(s.rebalanced, peer)
		}
	}
	return func(peer key.Public) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, lately := s.rebalanced[peer]; lately || len(s.rebalanced) >= maxRebalanced {
			return true
		}
		s.rebalanced[peer] = now
		return false
	}
}

// quietSince returns when the conn last had packets, in either direction.
func (c *conn) quietSince() int64 {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return max(c.since, c.usedAt.Load(), c.out.pushedAt)
}
