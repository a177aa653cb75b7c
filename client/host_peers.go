package client

import "github.com/detour-relay/detour/key"

// maxLearned bounds how many peers are remembered only because packets came from
// them: a relay can make up any number.
const maxLearned = 1 << 14

// peers is where the peers of a Host can be reached (spec section 10.2). It is
// guarded by Host.mu.
type peers struct {
	all     map[key.Public]peer
	learned int // of all, those whose home nobody has told
}

// peer is what is known of one. home is 0 and heard nil where that is not known.
type peer struct {
	home   int
	heard  *hostRegion // where a packet of it came in
	breaks uint64      // of heard at that time
}

// setHome notes what the peer's home is; 0: not known any more.
func (t *peers) setHome(k key.Public, home int) {
	p, known := t.all[k]
	switch {
	case home == 0 && !known || p.home == home && known:
		return
	case home == 0:
		t.learned++
	case known && p.home == 0:
		t.learned--
	}
	p.home = home
	t.all[k] = p
	if home == 0 && !p.reachable() {
		t.forget(k)
	}
}

// heardIn notes where a packet of the peer came in, and reports whether that is
// news.
func (t *peers) heardIn(k key.Public, r *hostRegion) bool {
	p, known := t.all[k]
	breaks := r.breaks.Load()
	if known && p.heard == r && p.breaks == breaks {
		return false
	}
	p.heard, p.breaks = r, breaks
	if !known {
		t.makeRoom()
		t.learned++
	}
	t.all[k] = p
	return true
}

// makeRoom forgets one of the learned if there are too many of them.
func (t *peers) makeRoom() {
	if t.learned < maxLearned {
		return
	}
	for k, p := range t.all {
		if p.home == 0 {
			t.forget(k)
			return
		}
	}
}

// gone notes that the peer is not in the region it was heard in.
func (t *peers) gone(k key.Public, r *hostRegion) {
	p, known := t.all[k]
	if !known || p.heard != r {
		return
	}
	p.heard = nil
	t.all[k] = p
	if p.home == 0 {
		t.forget(k)
	}
}

func (t *peers) forget(k key.Public) {
	if t.all[k].home == 0 {
		t.learned--
	}
	delete(t.all, k)
}

// forgetRegion drops what points to a region that is closed.
func (t *peers) forgetRegion(r *hostRegion) {
	for k, p := range t.all {
		if p.heard == r {
			t.gone(k, r)
		}
	}
}

// reachable reports whether the connection that a packet of the peer came in on is
// still there.
func (p *peer) reachable() bool {
	return p.heard != nil && p.breaks == p.heard.breaks.Load() && p.heard.ctx.Err() == nil
}
