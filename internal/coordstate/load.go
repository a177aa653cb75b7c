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
	b.loading, b.current, b.doubt, b.pending, b.decide, b.atEnd = true, false, false, nil, 0, true
	if b.loaded && b.epoch == epoch {
		b.base = b.pos
		return
	}
	b.epoch, b.epochHash = epoch, hash64(epoch)
	b.loaded, b.base, b.pos, b.whole = false, 0, 0, 0
	if b.number >= 0 {
		w.s.forgetRevisions(b)
	} else {
		delete(w.s.single, KeyTick)
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
	b.atEnd = e.Behind == 0
	if b.loaded && e.Revision <= b.base {
		w.s.mark(b, e) // it is known, or what came after it is
		return
	}
	if b.loading && b.loaded {
		b.pending = append(b.pending, e)
		return
	}
	w.s.apply(b, e)
	was := b.isWhole()
	next := was && e.Revision == b.pos+1
	b.pos = max(b.pos, e.Revision)
	if !b.loading {
		if next || b.atEnd {
			b.whole = b.pos
		}
		if !was && b.isWhole() {
			w.s.wakeAll(b) // what was held back can be told
		}
		b.reached(false)
		w.s.settleDoubt(b)
	}
}

// Current ends a load. What it has not told of is not gone for sure: it may have been
// changed meanwhile, and be told of next. A write that is made after this decides.
func (w watcher) Current() {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	b, s := w.b, w.s
	for _, e := range b.pending {
		s.apply(b, e)
		b.pos = max(b.pos, e.Revision)
	}
	b.pending = nil
	if b.atEnd {
		b.whole = b.pos
	}
	anew := !b.loaded
	if anew {
		s.anew(b)
	}
	b.doubt = s.unseen(b)
	b.loading, b.loaded, b.current = false, true, true
	b.reached(anew)
	s.wakeAll(b)
}

// Decide says that a write was made, after the load that is in doubt.
func (s *State) Decide(load uint8, rev uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.hard; b.gen == load && b.doubt {
		b.decide = rev
		s.settleDoubt(b)
	}
}

// settleDoubt removes what was not told of.
func (s *State) settleDoubt(b *bucket) {
	if b.doubt && b.decide != 0 && b.pos >= b.decide {
		b.doubt = false
		s.removeUnseen(b)
	}
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

// InDoubt reports whether only a write to the hard bucket can tell what stands there,
// and names the load of which that is so, for Decide.
func (s *State) InDoubt() (load uint8, is bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b := s.hard
	return b.gen, b.doubt && b.current && b.decide == 0
}

// mark notes that a load has told of a record that is known.
func (s *State) mark(b *bucket, e coordstore.Entry) {
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

// unseen reports whether there is something that the load has not told of. A soft
// bucket forgets nothing: who says nothing is where it was.
func (s *State) unseen(b *bucket) bool {
	if b.number >= 0 {
		return false
	}
	for _, t := range s.tailnets {
		if t.rec != nil && t.gen != b.gen {
			return true
		}
		for _, m := range t.members {
			if m.gen != b.gen {
				return true
			}
		}
		for _, l := range t.lingering {
			if l.gen != b.gen {
				return true
			}
		}
	}
	for _, r := range s.relays {
		if r.gen != b.gen {
			return true
		}
	}
	for _, one := range s.single {
		if one.gen != b.gen {
			return true
		}
	}
	return false
}

// removeUnseen removes it. The removals are as of now.
func (s *State) removeUnseen(b *bucket) {
	at := b.pos + 1
	for id, t := range s.tailnets {
		for i := len(t.members) - 1; i >= 0; i-- {
			if m := t.members[i]; m.gen != b.gen {
				s.applyMember(id, m.key, nil, at)
			}
		}
		for k, l := range t.lingering {
			if l.gen != b.gen {
				s.applyMember(id, k, nil, at)
			}
		}
		if t.rec != nil && t.gen != b.gen {
			s.applyTailnet(id, nil, at)
		}
	}
	for name, r := range s.relays {
		if r.gen != b.gen {
			s.applyRelay(name, nil, at)
		}
	}
	for k, one := range s.single {
		if one.gen != b.gen {
			s.applySingle(k, nil, at)
		}
	}
}
