package relay

import "slices"

// Duplicates: several conns of one key contest its packets, and the one that
// connected or sent last is active (spec 5.2). They are told so by Health
// frames, and told again when only one is left.

const duplicateProblem = "This key is connected to the relay more than once, so packets may go to the wrong place. " +
	"Give each machine a key of its own; a copied machine or state file is the usual cause."

// A duplicateSet is the state of a key with several conns. Guarded by routes.mu.
type duplicateSet struct {
	// active are the conns that were active by sending, each once, the latest last.
	// The first conn of the key and the third and later ones are in it from the
	// start, the second only once it sends.
	active []*conn
}

// joinDuplicatesLocked adds c to the duplicates of its key, if there are any, and
// tells those who did not know.
func (r *routes) joinDuplicatesLocked(rt *route, c *conn, n *notices) {
	told := []*conn{c}
	switch {
	case len(rt.conns) == 1:
		return
	case rt.duplicates == nil:
		first := rt.conns[0]
		rt.duplicates = &duplicateSet{active: []*conn{first}}
		r.count.dupKeys.Add(1)
		r.count.dupConns.Add(1)
		told = []*conn{first, c}
	default:
		rt.duplicates.active = append(rt.duplicates.active, c)
	}
	for _, d := range told {
		d.duplicate.Store(true)
		d.pushHealth(duplicateProblem)
	}
	n.add(told...)
	r.count.dupConns.Add(1)
	r.count.dupConnsTotal.Add(1)
}

// leaveDuplicatesLocked takes c out of the duplicates of its key, which has other
// conns. If only one is left, it is told.
func (r *routes) leaveDuplicatesLocked(rt *route, c *conn, n *notices) {
	d := rt.duplicates
	d.active = slices.DeleteFunc(d.active, func(o *conn) bool { return o == c })
	r.count.dupConns.Add(-1)
	if len(rt.conns) == 1 {
		winner := rt.conns[0]
		rt.duplicates = nil
		r.count.dupKeys.Add(-1)
		r.count.dupConns.Add(-1)
		winner.duplicate.Store(false)
		winner.pushHealth("")
		rt.setActive(&winner.out)
		n.add(winner)
		return
	}
	if rt.active.Load() != &c.out {
		return
	}
	var next *outbox
	if at := len(d.active); at > 0 {
		next = &d.active[at-1].out
	}
	rt.setActive(next)
}

// activate makes c the active conn of its key because it sent something.
func (r *routes) activate(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rt := c.route
	if rt.duplicates == nil || rt.retired {
		return
	}
	if s := rt.duplicates.active; len(s) == 0 || s[len(s)-1] != c {
		rt.duplicates.active = append(slices.DeleteFunc(s, func(o *conn) bool { return o == c }), c)
	}
	rt.setActive(&c.out)
}
