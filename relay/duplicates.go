package relay

import "slices"

// Duplicates: several conns of one key contest its packets, and the one that
// connected or sent last is active (spec 5.2). They are told so by Health
// frames, and told again when only one is left.

const duplicateProblem = "This key is connected to the relay more than once, so packets may go to the wrong place. " +
	"Give each machine a key of its own; a copied machine or state file is the usual cause."

// A contest is the state of a key with several conns. Guarded by routes.mu.
type contest struct {
	// senders are the conns that were active by sending, each once, the latest
	// last. The first conn of the key and the third and later ones are in it
	// from the start, the second only once it sends.
	senders []*conn
}

// joinLocked adds c to the contest of a key that has other conns, and returns
// the conns that were told about it.
func (r *routes) joinLocked(rt *route, c *conn) (told []*conn) {
	switch {
	case len(rt.conns) == 1:
		return nil
	case rt.contest == nil:
		rt.contest = &contest{senders: []*conn{rt.conns[0]}}
		r.count.dupKeys.Add(1)
		r.count.dupConns.Add(1)
		told = rt.conns[:1:1]
	default:
		rt.contest.senders = append(rt.contest.senders, c)
	}
	told = append(told, c)
	for _, d := range told {
		d.duplicate.Store(true)
		d.pushHealth(duplicateProblem)
	}
	r.count.dupConns.Add(1)
	r.count.dupConnsTotal.Add(1)
	return told
}

// leaveLocked takes c out of the contest of its key, which has other conns, and
// returns the conns that were told about it.
func (r *routes) leaveLocked(rt *route, c *conn) (told []*conn) {
	rt.contest.senders = slices.DeleteFunc(rt.contest.senders, func(o *conn) bool { return o == c })
	r.count.dupConns.Add(-1)
	if len(rt.conns) == 1 {
		winner := rt.conns[0]
		rt.contest = nil
		r.count.dupKeys.Add(-1)
		r.count.dupConns.Add(-1)
		winner.duplicate.Store(false)
		winner.pushHealth("")
		rt.lead(&winner.out)
		return []*conn{winner}
	}
	if rt.active.Load() != &c.out {
		return nil
	}
	var next *outbox
	if n := len(rt.contest.senders); n > 0 {
		next = &rt.contest.senders[n-1].out
	}
	rt.lead(next)
	return nil
}

// activate makes c the active conn of its key because it sent something.
func (r *routes) activate(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rt := c.route
	if rt.contest == nil || rt.retired {
		return
	}
	if s := rt.contest.senders; len(s) == 0 || s[len(s)-1] != c {
		rt.contest.senders = append(slices.DeleteFunc(s, func(o *conn) bool { return o == c }), c)
	}
	rt.lead(&c.out)
}
