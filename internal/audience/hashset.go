package audience

// A hashSet is a set of hashes that are never 0, with open addressing. The zero
// value is empty and has no memory; it gives memory back as it shrinks.
type hashSet struct {
	slots []uint64 // a power of two, at most half of them taken; 0: free
	n     int      // hashes in the set
}

const smallestSet = 8

// slot returns where h is, or the free slot where it would go. There is a free
// one.
func (s *hashSet) slot(h uint64) uint64 {
	mask := uint64(len(s.slots) - 1)
	i := h >> 1 & mask // the lowest bit is always set
	for s.slots[i] != 0 && s.slots[i] != h {
		i = (i + 1) & mask
	}
	return i
}

func (s *hashSet) has(h uint64) bool { return s.n > 0 && s.slots[s.slot(h)] == h }

// add puts in a hash that is not in the set.
func (s *hashSet) add(h uint64) {
	if 2*(s.n+1) > len(s.slots) {
		s.resize(max(smallestSet, 2*len(s.slots)))
	}
	s.slots[s.slot(h)] = h
	s.n++
}

// remove takes h out, and reports whether it was in.
func (s *hashSet) remove(h uint64) bool {
	if !s.has(h) {
		return false
	}
	s.close(s.slot(h))
	s.n--
	switch {
	case s.n == 0:
		s.slots = nil
	case len(s.slots) > smallestSet && 8*s.n <= len(s.slots):
		s.resize(len(s.slots) / 2)
	}
	return true
}

// close frees a slot and moves up those behind it that would not be found any
// more.
func (s *hashSet) close(hole uint64) {
	mask := uint64(len(s.slots) - 1)
	s.slots[hole] = 0
	for i := (hole + 1) & mask; s.slots[i] != 0; i = (i + 1) & mask {
		home := s.slots[i] >> 1 & mask
		if (i-home)&mask >= (i-hole)&mask { // the hole is on its way
			s.slots[hole], s.slots[i] = s.slots[i], 0
			hole = i
		}
	}
}

func (s *hashSet) resize(slots int) {
	old := s.slots
	s.slots = make([]uint64, slots)
	for _, h := range old {
		if h != 0 {
			s.slots[s.slot(h)] = h
		}
	}
}

// A toldRing has the hashes that were put in last.
type toldRing struct {
	ring *[toldSources]uint64 // nil: none yet
	next int
}

const toldSources = 32

func (t *toldRing) has(h uint64) bool {
	if t.ring == nil {
		return false
	}
	for _, other := range t.ring {
		if other == h {
			return true
		}
	}
	return false
}

func (t *toldRing) add(h uint64) {
	if t.ring == nil {
		t.ring = new([toldSources]uint64)
	}
	t.ring[t.next] = h
	t.next = (t.next + 1) % toldSources
}
