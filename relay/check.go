package relay

import (
	"fmt"
	"slices"
)

// Check looks for contradictions in what the relay knows of its peers and
// siblings, and returns them in words; none is the normal state. It holds up
// registration meanwhile, so it is for people and tests.
func (s *Server) Check() (problems []string) {
	r := &s.routes
	r.mu.Lock()
	defer r.mu.Unlock()
	var known, peers, conns int64
	r.table.Each(func(rt *route) {
		known++
		conns += int64(len(rt.conns))
		if len(rt.conns) > 0 {
			peers++
		}
		for _, problem := range r.checkLocked(rt) {
			problems = append(problems, fmt.Sprintf("%v: %s", rt.key, problem))
		}
	})
	if k, p := int64(r.table.Len()), r.peers.Load(); known != k || peers != p {
		problems = append(problems, fmt.Sprintf("%d keys are known and %d have conns, but counted are %d and %d", known, peers, k, p))
	}
	if n := s.count.conns.Load(); conns != n {
		problems = append(problems, fmt.Sprintf("%d conns are registered, but counted are %d", conns, n))
	}
	for w := range r.watchers {
		if !slices.Contains(w.route.conns, w) {
			problems = append(problems, fmt.Sprintf("%v watches, but is not registered", w.key))
		}
	}
	for l := range r.links {
		problems = append(problems, r.checkLinkLocked(l)...)
	}
	return problems
}

func (r *routes) checkLocked(rt *route) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if len(rt.conns) == 0 && len(rt.forwarders) == 0 {
		bad("has a route that leads nowhere")
	}
	for _, c := range rt.conns {
		if c.key != rt.key || c.route != rt {
			bad("has the conn of another key")
		}
	}
	for _, l := range rt.forwarders {
		if _, linked := r.links[l]; !linked || l.announced[rt.key] != rt {
			bad("has a forwarder that does not announce it")
		}
	}
	if (rt.duplicates != nil) != (len(rt.conns) > 1) {
		bad("has %d conns, but that it has duplicates is %v", len(rt.conns), rt.duplicates != nil)
	}
	var local *outbox
	if n := len(rt.conns); n > 0 {
		local = &rt.conns[n-1].out
	}
	if rt.local.Load() != local {
		bad("has a youngest conn that it does not know")
	}
	active := rt.active.Load()
	leadsAway := len(rt.conns) == 0 || rt.retired
	switch best := rt.forwarderLocked(); {
	case leadsAway && (best == nil || active != &best.out):
		bad("is not led to its forwarder")
	case !leadsAway && active == nil && rt.duplicates == nil:
		bad("has a conn, but is not led to it")
	case !leadsAway && active != nil && (active.conn == nil || !slices.Contains(rt.conns, active.conn)):
		bad("is led to a conn that is not its own")
	}
	return problems
}

func (r *routes) checkLinkLocked(l *link) (problems []string) {
	for k, rt := range l.announced {
		if r.lookup(&k) != rt || !slices.Contains(rt.forwarders, l) {
			problems = append(problems, fmt.Sprintf("%v: announced by %s, but not led there", k, l.to.Name))
		}
	}
	return problems
}
