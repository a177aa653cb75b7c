package coordstate

import (
	"strings"

	"github.com/detour-relay/detour/internal/coordstore"
)

// Watcher is what a bucket's history is given to.
func (s *State) Watcher(name string) coordstore.Watcher { return watcher{s, s.bucket(name)} }

type watcher struct {
	s *State
	b *bucket
}

// Begin begins a load. One of the same epoch changes nothing until Current: its parts
// are in no state that ever was. One of another epoch, and the first one, go straight
// in, since all who watch get a snapshot after it.
func (w watcher) Begin(epoch string) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	b := w.b
	b.gen++
	b.loading, b.current, b.doubt, b.pending, b.told = true, false, false, nil, 0
	if b.loaded && b.epoch == epoch {
		b.base = b.pos
		return
	}
	b.epoch, b.epochHash = epoch, hash64(epoch)
	b.loaded, b.base, b.pos = false, 0, 0
	if b.number >= 0 {
		w.s.forgetRevisions(b)
	}
}

// forgetRevisions: nothing stands in a soft bucket that is made anew. What was known
// stays known.
func (s *State) forgetRevisions(b *bucket) {
	for _, t := range s.tailnets {
		if t.soft != b {
			continue
		}
		t.softMax = 0
		for _, m := range t.members {
			m.soft.rev = 0
		}
	}
	for o := range s.orphans {
		if s.softs[coordstore.SoftOf(o.tailnet)] == b {
			delete(s.orphans, o)
		}
	}
}

func (w watcher) Entry(e coordstore.Entry) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	b := w.b
	if b.loaded && e.Revision <= b.base {
		w.s.mark(b, e) // it is known, or what came after it is
		return
	}
	if b.loading && b.loaded {
		b.told = max(b.told, e.Revision)
		b.pending = append(b.pending, e)
		return
	}
	if b.doubt {
		w.s.unseen(b, b.base, e.Revision)
		b.doubt = false
	}
	w.s.apply(b, e)
	b.told, b.pos = max(b.told, e.Revision), max(b.pos, e.Revision)
	if !b.loading {
		b.reached(false)
	}
}

// Current ends a load. What it has not told of is gone, if it has told what is later;
// otherwise a replica may have answered that is behind, and what comes next decides.
func (w watcher) Current() {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	b, s := w.b, w.s
	for _, e := range b.pending {
		s.apply(b, e)
		b.pos = max(b.pos, e.Revision)
	}
	b.pending = nil
	if b.loaded {
		b.doubt = s.unseen(b, b.told, b.pos+1)
	} else {
		s.unseen(b, ^uint64(0), b.pos)
		s.anew(b)
	}
	anew := !b.loaded
	b.loading, b.loaded, b.current = false, true, true
	b.reached(anew)
	s.wakeAll(b)
}

// anew: whoever watches has to begin anew.
func (s *State) anew(b *bucket) {
	for _, t := range s.tailnets {
		if t.feed != nil && (b.number < 0 || t.soft == b) {
			t.feed.restart()
		}
	}
	if b.number < 0 {
		s.gone.restart(b.pos)
	}
}

func (s *State) wakeAll(b *bucket) {
	for _, t := range s.tailnets {
		if t.feed != nil && (b.number < 0 || t.soft == b) {
			t.feed.wake()
		}
	}
	if b.number < 0 {
		s.wakeRelays()
	}
}

// InDoubt reports whether only another write to the hard bucket can tell what stands
// there.
func (s *State) InDoubt() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.hard.doubt && s.hard.current
}

// mark notes that a load has told of a record that is known.
func (s *State) mark(b *bucket, e coordstore.Entry) {
	b.told = max(b.told, e.Revision)
	if b.number >= 0 || e.Value == nil {
		return
	}
	if id, k, ok := parseMember(e.Key, prefixMember); ok {
		if t := s.tailnets[id]; t != nil {
			if m := s.index.find(t, k); m != nil {
				m.gen = b.gen
			} else if l, ok := t.lingering[k]; ok {
				l.gen = b.gen
				t.lingering[k] = l
			}
		}
		return
	}
	if id, ok := strings.CutPrefix(e.Key, prefixTailnet); ok && s.tailnets[id] != nil {
		s.tailnets[id].gen = b.gen
	} else if name, ok := strings.CutPrefix(e.Key, prefixRelay); ok && s.relays[name] != nil {
		s.relays[name].gen = b.gen
	} else if one, ok := s.single[e.Key]; ok {
		one.gen = b.gen
		s.single[e.Key] = one
	}
}

// unseen removes what the load has not told of, up to a revision, and reports whether
// something later was not told of either. at is the revision that the removals have.
// A soft bucket forgets nothing: who says nothing is where it was.
func (s *State) unseen(b *bucket, upTo, at uint64) (later bool) {
	if b.number >= 0 {
		return false
	}
	drop := func(gen uint8, rev uint64) bool {
		if gen == b.gen {
			return false
		}
		later = later || rev > upTo
		return rev <= upTo
	}
	for id, t := range s.tailnets {
		for i := len(t.members) - 1; i >= 0; i-- {
			if m := t.members[i]; drop(m.gen, m.hard) {
				s.applyMember(id, m.key, nil, at)
			}
		}
		for k, l := range t.lingering {
			if drop(l.gen, l.rev) {
				s.applyMember(id, k, nil, at)
			}
		}
		if t.rec != nil && drop(t.gen, t.rev) {
			s.applyTailnet(id, nil, at)
		}
	}
	for name, r := range s.relays {
		if drop(r.gen, r.rev) {
			s.applyRelay(name, nil, at)
		}
	}
	for k, one := range s.single {
		if drop(one.gen, one.rev) {
			s.applySingle(k, nil, at)
		}
	}
	return later
}
