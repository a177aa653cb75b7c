package relay

import (
	"slices"

	"github.com/detour-relay/detour/key"
)

// add registers c: packets for its key go to it from now on, and watchers learn
// of it.
func (r *routes) add(c *conn) {
	r.update(func(n *notices) {
		r.logins++
		c.id = r.logins
		c.out.page = r.count.book.Page(c.id)
		rt := r.lookup(&c.key)
		if rt == nil {
			rt = r.insertLocked(c.key, &c.out)
		}
		c.route = rt
		rt.conns = append(rt.conns, c)
		rt.local.Store(&c.out)
		if len(rt.conns) == 1 {
			r.peers.Add(1)
		}
		r.joinDuplicatesLocked(rt, c, n)
		rt.setActive(&c.out)
		r.count.registered(c, 1)
		r.announceLocked(c, n)
		if r.draining {
			r.chooseActiveLocked(rt, n)
		}
	})
}

// insertLocked makes the route of a key that was not known.
func (r *routes) insertLocked(k key.Public, to *outbox) *route {
	rt := &route{key: k}
	rt.setActive(to)
	r.table.Insert(rt)
	r.audience.Came(&rt.listeners, r.senderHash(&k))
	return rt
}

// remove unregisters c. If it was the last conn of its key, those who watch are
// told, and if no sibling has the key either, those who heard from it.
func (r *routes) remove(c *conn) {
	r.update(func(n *notices) {
		rt := c.route
		rt.conns = slices.DeleteFunc(rt.conns, func(o *conn) bool { return o == c })
		r.unwatchLocked(c)
		r.count.registered(c, -1)
		if left := len(rt.conns); left > 0 {
			rt.local.Store(&rt.conns[left-1].out)
			r.leaveDuplicatesLocked(rt, c, n)
		} else {
			rt.local.Store(nil)
			r.peers.Add(-1)
			if !rt.withdrawn { // watchers know already
				r.announceGoneLocked(rt.key, n)
			}
		}
		r.keepOrDeleteLocked(rt, n)
	})
}

// keepOrDeleteLocked leads rt to where packets for it go after it has lost a conn or a
// forwarder, or takes it out if it was the last.
func (r *routes) keepOrDeleteLocked(rt *route, n *notices) {
	if len(rt.conns) > 0 || len(rt.forwarders) > 0 {
		r.chooseActiveLocked(rt, n)
		return
	}
	rt.setActive(nil)
	r.table.Delete(rt)
	r.tellGoneLocked(rt, n)
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

// Notices are the conns that were sent control frames while the registration
// mutex was held. They are flushed once it is free again.
type notices []*conn

func (n *notices) add(conns ...*conn) { *n = append(*n, conns...) }

func (n notices) flush() {
	for _, c := range n {
		c.out.flush(nil, c.out.page)
	}
}

// update runs f with the registration mutex held and then flushes those whom f
// has sent something.
func (r *routes) update(f func(n *notices)) {
	var n notices
	r.mu.Lock()
	f(&n)
	r.mu.Unlock()
	n.flush()
}
