package coordstate

import "github.com/detour-relay/detour/internal/coordapi"

// begin tells a sub what its cursor has not: by the records if that can be, or all.
// It fails if this coordinator has heard less than the sub has been told: a line has
// all of a member, so what is new in one bucket would bring what is old in the other.
func (s *State) begin(sub *Sub, m *member, b *Batch) bool {
	t, now := sub.net, s.cursor(sub.net)
	resumable := s.resumable(sub.at, now, t)
	if resumable && !sub.begun {
		b.Lines = append(b.Lines, startLine(coordapi.EventResumed, s.staleLocked(t) || s.behind(sub.at, now, t)))
		s.resumes.Add(1)
		sub.begun = true
	}
	if s.behind(sub.at, now, t) {
		return false
	}
	if resumable {
		s.resume(sub, b)
	} else {
		sub.at = Cursor{}
		s.tellAll(sub, m, b)
		s.snapshots.Add(1)
	}
	sub.begun, sub.placed, sub.next = true, true, t.feed.end()
	return true
}

func (s *State) resumable(c, now Cursor, t *tailnet) bool {
	return c.Tailnet == now.Tailnet && c.HardEpoch == now.HardEpoch && c.SoftEpoch == now.SoftEpoch &&
		c.Hard >= t.rec.Floor
}

// behind reports whether a snapshot would be older than the cursor, or may be.
func (s *State) behind(c, now Cursor, t *tailnet) bool {
	if c.Tailnet != now.Tailnet {
		return false
	}
	hard, soft := c.Hard > now.Hard, c.Soft > now.Soft
	if c.HardEpoch != now.HardEpoch {
		hard = !s.hard.current
	}
	if c.SoftEpoch != now.SoftEpoch {
		soft = !t.soft.current
	}
	return hard || soft
}

func (s *State) resume(sub *Sub, b *Batch) {
	t, c := sub.net, sub.at
	if t.hardMax <= c.Hard && t.softMax <= c.Soft {
		return
	}
	s.tellRemoved(sub, b)
	for _, m := range t.members {
		switch {
		case m.disabled && m.hard > c.Hard:
			b.Lines = append(b.Lines, goneLine(m.key))
		case !m.disabled && (m.hard > c.Hard || m.soft.rev > c.Soft):
			b.tell(sub, change{key: m.key, line: appendPeer(nil, m)})
		}
	}
}

func (s *State) staleLocked(t *tailnet) bool { return !s.hard.current || !t.soft.current }

// tellRemoved tells of those who were removed since the cursor. A removal was made
// after Gone.After, and before the tailnet's record was written again.
func (s *State) tellRemoved(sub *Sub, b *Batch) {
	t := sub.net
	for i, g := range t.rec.Gone {
		if t.goneBy(i) > sub.at.Hard && s.index.find(t, g.Key) == nil {
			b.Lines = append(b.Lines, goneLine(g.Key))
		}
	}
}

// goneBy is a revision at which the removal i had been made.
func (t *tailnet) goneBy(i int) uint64 { return t.rec.goneBy(i, t.rev) }

func (r *TailnetRecord) goneBy(i int, rev uint64) uint64 {
	for _, later := range r.Gone[i+1:] {
		if later.After > r.Gone[i].After {
			return later.After
		}
	}
	return rev
}

func (s *State) tellAll(sub *Sub, m *member, b *Batch) {
	t := sub.net
	snap := s.snapshot(t)
	start, end := uint32(0), snap.ends[m.pos]
	if m.pos > 0 {
		start = snap.ends[m.pos-1]
	}
	b.Lines = append(b.Lines, startLine(coordapi.EventSnapshot, s.staleLocked(t)))
	b.Lines = append(b.Lines, asSelf(snap.text[start:end])...)
	for _, part := range [][]byte{snap.text[:start], snap.text[end:]} {
		if len(part) > 0 {
			b.Lines = append(b.Lines, part)
		}
	}
}

// snapshot is kept until something changes, or Tidy comes.
func (s *State) snapshot(t *tailnet) *snapshot {
	f := t.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.snap != nil {
		return f.snap
	}
	snap := &snapshot{make([]byte, 0, 256*len(t.members)), make([]uint32, len(t.members))}
	for i, m := range t.members {
		if !m.disabled {
			snap.text = appendPeer(snap.text, m)
		}
		snap.ends[i] = uint32(len(snap.text))
	}
	f.snap = snap
	return snap
}

// Tidy frees what was made for many who asked at once.
func (s *State) Tidy() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range s.tailnets {
		if t.feed != nil {
			t.feed.mu.Lock()
			t.feed.snap = nil
			t.feed.mu.Unlock()
		}
	}
}
