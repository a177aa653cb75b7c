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
	told := r.joinLocked(rt, c)
	rt.lead(&c.out)
	r.count.registered(c, 1)
	told = append(told, r.announceLocked(c)...)
	r.mu.Unlock()
	flushAll(told)
}

// remove unregisters c. If it was the last conn of its key, those who heard from
// the key and those who watch are told that it has left.
func (r *routes) remove(c *conn) {
	r.mu.Lock()
	rt := c.route
	rt.conns = slices.DeleteFunc(rt.conns, func(o *conn) bool { return o == c })
	delete(r.watchers, c)
	r.count.registered(c, -1)
	var told []*conn
	if len(rt.conns) > 0 {
		told = r.leaveLocked(rt, c)
	} else {
		rt.lead(nil)
		r.deleteLocked(rt)
		told = r.announceGoneLocked(rt.key)
	}
	left := len(rt.conns) == 0
	r.mu.Unlock()
	if left {
		told = append(told, rt.audience.tellGone(rt.key)...)
	}
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
