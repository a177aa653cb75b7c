package relay

import (
	"slices"

	"github.com/detour-relay/detour/key"
)

// add registers c: packets for its key go to it from now on, and watchers learn
// of it.
func (r *routes) add(c *conn) {
	r.mu.Lock()
	rt := r.lookup(&c.key)
	if rt == nil {
		rt = &route{key: c.key}
		r.insertLocked(rt)
	}
	c.route = rt
	rt.conns = append(rt.conns, c)
	if len(rt.conns) == 1 {
		r.peers.Add(1)
	}
	told := r.joinLocked(rt, c)
	rt.lead(&c.out)
	r.count.registered(c, 1)
	told = append(told, r.announceLocked(c)...)
	if r.draining {
		told = append(told, r.settleLocked(rt)...)
	}
	r.mu.Unlock()
	flushAll(told)
}

// remove unregisters c. If it was the last conn of its key, those who watch are
// told, and if no sibling has the key either, those who heard from it.
func (r *routes) remove(c *conn) {
	r.mu.Lock()
	rt := c.route
	rt.conns = slices.DeleteFunc(rt.conns, func(o *conn) bool { return o == c })
	r.unwatchLocked(c)
	r.count.registered(c, -1)
	var told []*conn
	if len(rt.conns) > 0 {
		told = r.leaveLocked(rt, c)
	} else {
		r.peers.Add(-1)
		if !rt.withdrawn { // watchers know already
			told = r.announceGoneLocked(rt.key)
		}
	}
	if len(rt.conns) > 0 || len(rt.forwarders) > 0 {
		told = append(told, r.settleLocked(rt)...)
	} else {
		told = append(told, r.vanishLocked(rt)...)
	}
	r.mu.Unlock()
	flushAll(told)
}

// closePeer closes every conn of a key.
func (r *routes) closePeer(peer key.Public) {
	r.mu.Lock()
	var conns []*conn
	if rt := r.lookup(&peer); rt != nil {
		conns = slices.Clone(rt.conns)
	}
	r.mu.Unlock()
	for _, c := range conns {
		c.close(ErrClosePeer)
	}
}

// flushAll writes the control frames that were queued under a lock.
func flushAll(conns []*conn) {
	for _, c := range conns {
		c.out.flush()
	}
}
