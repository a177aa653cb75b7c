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
func (r *routes) announced(l *link, k key.Public) (err error) {
	r.update(func(n *notices) {
		_, known := l.announced[k]
		if known || l.cut || k.IsZero() || k == l.server.public {
			return
		}
		if len(l.announced) >= l.server.cfg.LinkPeers {
			err = ErrTooManyPeers
			return
		}
		rt := r.lookup(&k)
		if rt == nil {
			rt = r.insertLocked(k, &l.out)
		}
		rt.forwarders = append(rt.forwarders, l)
		l.announced[k] = rt
		r.chooseActiveLocked(rt, n)
	})
	return err
}

// withdrawn notes that the sibling behind l has no conn of k any more.
func (r *routes) withdrawn(l *link, k key.Public) {
	r.update(func(n *notices) {
		if rt, known := l.announced[k]; known {
			delete(l.announced, k)
			r.withdrawLocked(l, rt, n)
		}
	})
}

// withdrawLocked takes l, which does not announce the key any more, from the
// forwarders of rt.
func (r *routes) withdrawLocked(l *link, rt *route, n *notices) {
	rt.forwarders = slices.DeleteFunc(rt.forwarders, func(o *link) bool { return o == l })
	r.keepOrDeleteLocked(rt, n)
}

// chooseActiveLocked makes out where packets for rt go, after its forwarders, or
// what makes one better than another, have changed.
func (r *routes) chooseActiveLocked(rt *route, n *notices) {
	best := rt.forwarderLocked()
	retire := r.draining && best != nil && len(rt.conns) > 0
	switch {
	case len(rt.conns) == 0 || retire:
		rt.routeVia(best)
	case rt.retired: // the sibling has lost it again
		last := rt.conns[len(rt.conns)-1]
		rt.setActive(&last.out)
		if rt.withdrawn {
			rt.withdrawn = false
			r.announceLocked(last, n)
		}
	}
	if retire && !rt.retired {
		r.retirees = append(r.retirees, retiree{rt, time.Now()})
	}
	rt.retired = retire
}

// routeVia makes the link active, if it is not.
func (rt *route) routeVia(l *link) {
	if rt.active.Load() != &l.out {
		rt.setActive(&l.out)
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
		r.update(func(n *notices) {
			l.cut = true
			keys := 0
			for k, rt := range l.announced {
				if keys++; keys > keysAtOnce {
					break
				}
				delete(l.announced, k)
				r.withdrawLocked(l, rt, n)
			}
			if more = len(l.announced) > 0; !more {
				delete(r.links, l)
			}
		})
	}
}

// restarting prefers other forwarders to l from now on.
func (r *routes) restarting(l *link) {
	r.update(func(n *notices) {
		l.restarting = true
		for _, rt := range l.announced {
			r.chooseActiveLocked(rt, n)
		}
	})
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
