package relay

import (
	"sync"

	"github.com/detour-relay/detour/key"
)

// Who has received packets from a key is told once when that key leaves the
// region (spec 5.6). A conn remembers whom it heard from for as long as it
// lives, so that it is told at most once per key; a route remembers who is to
// be told. None of it takes the registration mutex: the first packet between
// two peers passes here.

// maxHeard bounds what one conn remembers. Of keys beyond it the peer is not
// told that they left, which it takes as a hint only.
const maxHeard = 8192

// heard is the set of keys that a conn has received packets from, with the
// route each had at the time.
type heard struct {
	mu     sync.Mutex
	routes map[key.Public]*route // guarded by mu
	over   bool                  // guarded by mu: the conn has ended
}

// audience is the set of conns to tell when a route's key leaves.
type audience struct {
	mu    sync.Mutex
	conns map[*conn]struct{} // guarded by mu
	left  bool               // guarded by mu: the key has left
}

// hears notes that c is about to receive packets from the key of src.
func (c *conn) hears(src *route) {
	c.heard.mu.Lock()
	defer c.heard.mu.Unlock()
	if _, known := c.heard.routes[src.key]; known || c.heard.over || len(c.heard.routes) >= maxHeard {
		return
	}
	if c.heard.routes == nil {
		c.heard.routes = make(map[key.Public]*route)
	}
	c.heard.routes[src.key] = src
	src.audience.add(c)
}

// forgetHeard takes c out of all audiences when it ends.
func (c *conn) forgetHeard() {
	c.heard.mu.Lock()
	routes := c.heard.routes
	c.heard.routes, c.heard.over = nil, true
	c.heard.mu.Unlock()
	for _, rt := range routes {
		rt.audience.remove(c)
	}
}

func (a *audience) add(c *conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left {
		return
	}
	if a.conns == nil {
		a.conns = make(map[*conn]struct{})
	}
	a.conns[c] = struct{}{}
}

func (a *audience) remove(c *conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.conns, c)
}

// tellGone queues PeerGone for everybody in the audience, returns them and
// dismisses the audience.
func (a *audience) tellGone(gone key.Public) (told []*conn) {
	a.mu.Lock()
	conns := a.conns
	a.conns, a.left = nil, true
	a.mu.Unlock()
	for c := range conns {
		c.pushPeerGone(gone)
		told = append(told, c)
	}
	return told
}
