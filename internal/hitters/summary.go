package hitters

import (
	"cmp"
	"slices"
)

// room is how many names a summary keeps.
const room = 128

// A count is what one name has used since it was taken up. Before, it can have used up to
// missed bytes that nobody remembers.
type count struct {
	Use
	missed uint64
}

// most is how many bytes the name can have used at most.
func (c count) most() uint64 { return c.Bytes() + c.missed }

// A summary has those names that used most. The zero value is empty.
type summary[N comparable] struct {
	of    map[N]count
	floor uint64 // who is not in it can have used so many bytes at most
}

// An entry is one name of a summary that does not change any more.
type entry[N comparable] struct {
	name N
	count
}

// A finished summary has at most room entries, the heaviest first.
type finished[N comparable] struct {
	entries []entry[N]
	floor   uint64
}

func (s *summary[N]) add(name N, u Use) {
	if s.of == nil {
		s.of = make(map[N]count)
	}
	c, known := s.of[name]
	if !known {
		c.missed = s.floor
	}
	c.Use = c.plus(u)
	s.of[name] = c
	if len(s.of) > 2*room {
		s.prune()
	}
}

// prune forgets all but the heaviest. Of those it forgets none has used more than the first
// of them, which is the floor from now on. Each time that it rises by c, room+1 names and
// more have used c bytes that no other rise is due to: so it is a room+1st of all bytes at
// most.
func (s *summary[N]) prune() {
	if len(s.of) <= room {
		return
	}
	all := make([]uint64, 0, len(s.of))
	for _, c := range s.of {
		all = append(all, c.most())
	}
	slices.Sort(all)
	s.floor = all[len(all)-1-room]
	for name, c := range s.of {
		if c.most() <= s.floor {
			delete(s.of, name)
		}
	}
}

// merge adds what another summary has. Who is only in one of them can have used, in the
// other, what that one's floor is.
func (s *summary[N]) merge(other finished[N]) {
	if s.of == nil {
		s.of = make(map[N]count, len(other.entries))
	}
	both := 0
	for _, e := range other.entries {
		c, known := s.of[e.name]
		if !known {
			c.missed = s.floor
		} else {
			both++
		}
		s.of[e.name] = count{c.Use.plus(e.Use), c.missed + e.missed}
	}
	if other.floor > 0 && both < len(s.of) {
		s.missIn(other)
	}
	s.floor += other.floor
	if len(s.of) > 2*room {
		s.prune()
	}
}

// missIn adds the floor of another summary to those who are not in it.
func (s *summary[N]) missIn(other finished[N]) {
	there := make(map[N]bool, len(other.entries))
	for _, e := range other.entries {
		there[e.name] = true
	}
	for name, c := range s.of {
		if !there[name] {
			c.missed += other.floor
			s.of[name] = c
		}
	}
}

// finish returns what a summary has.
func (s *summary[N]) finish() finished[N] {
	s.prune()
	f := finished[N]{make([]entry[N], 0, len(s.of)), s.floor}
	for name, c := range s.of {
		f.entries = append(f.entries, entry[N]{name, c})
	}
	slices.SortFunc(f.entries, func(a, b entry[N]) int { return cmp.Compare(b.Bytes(), a.Bytes()) })
	return f
}

// plus returns both together.
func (u Use) plus(v Use) Use {
	u.Received.Packets += v.Received.Packets
	u.Received.Bytes += v.Received.Bytes
	u.Sent.Packets += v.Sent.Packets
	u.Sent.Bytes += v.Sent.Bytes
	return u
}

// since returns what has come in addition to before.
func (u Use) since(before Use) Use {
	u.Received.Packets -= before.Received.Packets
	u.Received.Bytes -= before.Received.Bytes
	u.Sent.Packets -= before.Sent.Packets
	u.Sent.Bytes -= before.Sent.Bytes
	return u
}
