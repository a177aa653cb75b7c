package coord

import (
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/coordstate"
)

// nameClaims remembers since when claims of names have been seen here.
type nameClaims struct {
	mu   sync.Mutex
	seen map[coordstate.NameClaim]time.Time
}

// late reports whether a claim has been there for so long that nobody comes for it.
func (n *nameClaims) late(c coordstate.NameClaim) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen == nil || len(n.seen) > 4*mostNameClaims {
		n.seen = map[coordstate.NameClaim]time.Time{}
	}
	at, ok := n.seen[c]
	if !ok {
		n.seen[c] = time.Now()
	}
	return ok && time.Since(at) > coordstate.ClaimTime
}
