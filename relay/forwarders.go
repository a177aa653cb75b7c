package relay

import (
	"slices"
	"time"

	"github.com/detour-relay/detour/key"
)

// Forwarders are the links whose siblings have announced a key. Packets for a
// key go to a conn of ours if there is one, otherwise to the forwarder that has
// announced it for longest (spec 6.4); one that is about to restart comes last.
// While this relay itself drains it is the other way round: a peer that has
// turned up at a sibling is reached there.

// announced notes that the sibling behind l has conns of k. It fails if the
// sibling announces more keys than it may.
func (r *routes) announced(l *link, k key.Public) error {
	r.mu.Lock()
	_, known := l.announced[k]
	if known || l.cut || k.IsZero() || k == l.server.public {
		r.mu.Unlock()
		return nil
	}
	if len(l.announced) >= l.server.cfg.LinkPeers {
		r.mu.Unlock()
		return ErrTooManyPeers
	}
	rt := r.lookup(&k)
	if rt == nil {
		rt = &route{key: k, forwarders: []*link{l}}
		rt.lead(&l.out)
		r.insertLocked(rt)
	} else {
		rt.forwarders = append(rt.forwarders, l)
	}
	l.announced[k] = rt
	told := r.settleLocked(rt)
	r.mu.Unlock()
	flushAll(told)
	return nil
}

// withdrawn notes that the sibling behind l has no conn of k any more.
func (r *routes) withdrawn(l *link, k key.Public) {
	r.mu.Lock()
	rt, known := l.announced[k]
	if !known {
		r.mu.Unlock()
		return
	}
	delete(l.announced, k)
	told := r.withdrawLocked(l, rt)
	r.mu.Unlock()
	flushAll(told)
}

// withdrawLocked takes l, which does not announce the key any more, from the
// forwarders of rt, and returns the conns that were told that the key has left.
func (r *routes) withdrawLocked(l *link, rt *route) (told []*conn) {
	rt.forwarders = slices.DeleteFunc(rt.forwarders, func(o *link) bool { return o == l })
	if len(rt.conns) == 0 && len(rt.forwarders) == 0 {
		return r.vanishLocked(rt)
	}
	return r.settleLocked(rt)
}

// settleLocked leads rt to where packets for it go, after its forwarders, or
// what makes one better than another, have changed. It returns the conns that
// were told of it.
func (r *routes) settleLocked(rt *route) (told []*conn) {
	best := rt.forwarderLocked()
	retire := r.draining && best != nil && len(rt.conns) > 0
	switch {
	case len(rt.conns) == 0 || retire:
		rt.leadTo(best)
	case rt.retired: // the sibling has lost it again
		last := rt.conns[len(rt.conns)-1]
		rt.lead(&last.out)
		if rt.withdrawn {
			rt.withdrawn = false
			told = r.announceLocked(last)
		}
	}
	if retire && !rt.retired {
		r.retirees = append(r.retirees, retiree{rt, time.Now()})
	}
	rt.retired = retire
	return told
}

// leadTo is lead, if that changes anything.
func (rt *route) leadTo(l *link) {
	if rt.active.Load() != &l.out {
		rt.lead(&l.out)
	}
}

// forwarderLocked returns the forwarder to use; nil if there is none.
func (rt *route) forwarderLocked() *link {
	for _, l := range rt.forwarders {
		if !l.restarting {
			return l
		}
	}
	if len(rt.forwarders) > 0 {
		return rt.forwarders[0]
	}
	return nil
}

// vanishLocked takes out a route whose key has left the region, and returns the
// conns that were told so.
func (r *routes) vanishLocked(rt *route) (told []*conn) {
	rt.lead(nil)
	r.deleteLocked(rt)
	return rt.audience.tellGone(rt.key)
}

// localOutbox returns the outbox of the conn that a key has here although its
// packets are led to a sibling; nil if it has none. What siblings forwarded
// before they heard of the move is for that conn.
func (r *routes) localOutbox(rt *route) *outbox {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(rt.conns); n > 0 {
		return &rt.conns[n-1].out
	}
	return nil
}

// link registers l, unless there is a good link to the same sibling.
func (r *routes) link(l *link) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other := range r.links {
		if other.key == l.key && !other.restarting {
			return ErrLinked
		}
	}
	r.links[l] = struct{}{}
	return nil
}

// keysAtOnce is how many keys of a broken link are taken out under one hold of
// the registration mutex, so that registering does not wait for all of them.
const keysAtOnce = 256

// unlink forgets everything that l has announced.
func (r *routes) unlink(l *link) {
	for more := true; more; {
		var told []*conn
		r.mu.Lock()
		l.cut = true
		n := 0
		for k, rt := range l.announced {
			if n++; n > keysAtOnce {
				break
			}
			delete(l.announced, k)
			told = append(told, r.withdrawLocked(l, rt)...)
		}
		if more = len(l.announced) > 0; !more {
			delete(r.links, l)
		}
		r.mu.Unlock()
		flushAll(told)
	}
}

// restarting prefers other forwarders to l from now on.
func (r *routes) restarting(l *link) {
	r.mu.Lock()
	var told []*conn
	l.restarting = true
	for _, rt := range l.announced {
		told = append(told, r.settleLocked(rt)...)
	}
	r.mu.Unlock()
	flushAll(told)
}

// eachLink calls f for every link, without holding mu.
func (r *routes) eachLink(f func(*link)) {
	r.mu.Lock()
	var all []*link
	for l := range r.links {
		all = append(all, l)
	}
	r.mu.Unlock()
	for _, l := range all {
		f(l)
	}
}
