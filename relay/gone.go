package relay

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Who has received packets from a key is told once when that key leaves the
// region (spec 5.6). A conn remembers whom it hears from as long as they are
// here, and of those who have left the last few, so that it is told once of a key
// that comes back; a route remembers who is to be told. PeerGone is a hint: what
// exceeds the bounds below is not remembered. None of it takes the registration
// mutex: the first packet between two peers passes here.

const (
	// maxSenders is how many senders one conn remembers at most, and maxPairs all
	// conns together, each pair in some 24 bytes. The first few of each conn do not
	// count, so that nobody can use up the share of others.
	maxSenders  = 1024
	freeSenders = 16
	maxPairs    = 1 << 18
)

// senders are the peers that a conn has received packets from.
type senders struct {
	mu  sync.Mutex
	set *senderSet // guarded by mu; nil: none yet
}

type senderSet struct {
	id   subscriber // of the conn
	here hashSet    // those that are here
	told toldRing   // those that have left, and the conn was told
}

// noSenders is the set of a conn that has ended.
var noSenders = new(senderSet)

// noteSender notes that c is about to receive packets from the key of src.
func (c *conn) noteSender(src *route) {
	r := &c.server.routes
	h := r.senderHash(src)
	c.senders.mu.Lock()
	defer c.senders.mu.Unlock()
	set := c.senders.set
	if set == noSenders {
		return
	}
	if set == nil {
		set = &senderSet{id: r.subscribers.add(c)}
		c.senders.set = set
	}
	if set.here.has(h) || set.told.has(h) || !r.subscribers.hasRoom(set.here.n) {
		return
	}
	if src.audience.add(&r.subscribers, set.id) {
		set.here.add(h)
		r.subscribers.pairs.Add(1)
	}
}

// senderHash stands for the key of a sender. It is never 0.
func (r *routes) senderHash(rt *route) uint64 { return r.first(&rt.key) | 1 }

// senderGone notes that a sender has left. It reports whether the conn is to be
// told.
func (c *conn) senderGone(h uint64) bool {
	c.senders.mu.Lock()
	defer c.senders.mu.Unlock()
	set := c.senders.set
	if set == nil || !set.here.remove(h) {
		return false
	}
	c.server.routes.subscribers.pairs.Add(-1)
	set.told.add(h)
	return true
}

// forgetSenders ends what c is told when it ends itself.
func (c *conn) forgetSenders() {
	c.senders.mu.Lock()
	set := c.senders.set
	c.senders.set = noSenders
	c.senders.mu.Unlock()
	if set != nil && set != noSenders {
		s := &c.server.routes.subscribers
		s.pairs.Add(-int64(set.here.n))
		s.remove(set.id)
	}
}

// An audience are the conns to tell when a route's key leaves.
type audience struct {
	mu   sync.Mutex
	list *[]subscriber // guarded by mu; nil: nobody. Some may have ended
}

// keyLeft is the list of a key that has left.
var keyLeft = new([]subscriber)

// add adds a conn that is not in the audience. It is false if the key has left.
func (a *audience) add(s *subscribers, id subscriber) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.list == keyLeft:
		return false
	case a.list == nil:
		a.list = new([]subscriber)
	case len(*a.list) == cap(*a.list):
		*a.list = s.present(*a.list)
	}
	*a.list = append(*a.list, id)
	return true
}

// tellGone queues PeerGone for everybody in the audience of rt, and dismisses it.
func (a *audience) tellGone(r *routes, rt *route, n *notices) {
	a.mu.Lock()
	list := a.list
	a.list = keyLeft
	a.mu.Unlock()
	if list == nil || list == keyLeft {
		return
	}
	h := r.senderHash(rt)
	for _, c := range r.subscribers.conns(*list) {
		if c.senderGone(h) {
			c.pushPeerGone(rt.key)
			n.add(c)
		}
	}
}

// A subscriber is the number of a conn in an audience. It keeps no conn alive, so
// a conn that ends need not be taken out of all audiences at once.
type subscriber uint64

// subscribers gives the conns that hear from anybody their numbers.
type subscribers struct {
	pairs atomic.Int64 // how many senders all conns remember

	mu    sync.Mutex
	slots []subscription // guarded by mu
	free  []uint32       // guarded by mu: slots without a conn
}

type subscription struct {
	conn *conn
	uses uint32 // how many conns had the slot before
}

func (s *subscribers) hasRoom(senders int) bool {
	return senders < freeSenders || senders < maxSenders && s.pairs.Load() < maxPairs
}

func (s *subscribers) add(c *conn) subscriber {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) == 0 {
		s.free = append(s.free, uint32(len(s.slots)))
		s.slots = append(s.slots, subscription{})
	}
	at := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.slots[at].conn = c
	return subscriber(s.slots[at].uses)<<32 | subscriber(at)
}

func (s *subscribers) remove(id subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.connLocked(id); c != nil {
		at := uint32(id)
		s.slots[at] = subscription{uses: s.slots[at].uses + 1}
		s.free = append(s.free, at)
	}
}

// connLocked returns the conn with a number; nil if it has ended.
func (s *subscribers) connLocked(id subscriber) *conn {
	if at := uint32(id); int(at) < len(s.slots) && s.slots[at].uses == uint32(id>>32) {
		return s.slots[at].conn
	}
	return nil
}

// conns returns those of list that have not ended.
func (s *subscribers) conns(list []subscriber) (conns []*conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range list {
		if c := s.connLocked(id); c != nil {
			conns = append(conns, c)
		}
	}
	return conns
}

// present drops those from list that have ended.
func (s *subscribers) present(list []subscriber) []subscriber {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := list[:0]
	for _, id := range list {
		if s.connLocked(id) != nil {
			kept = append(kept, id)
		}
	}
	if 4*len(kept) < cap(kept) {
		return slices.Clone(kept)
	}
	return kept
}
