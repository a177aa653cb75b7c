package coordstate

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// presence is who has a stream at another coordinator: a set of hashes for each soft
// bucket. It counts while the coordinator says that it lives.
type presence struct {
	sets  [coordstore.SoftBuckets][]uint32 // sorted
	revs  [coordstore.SoftBuckets]uint64
	alive int64  // ns of this process; 0: not heard
	rev   uint64 // of what said so
}

// AliveTime is how long a coordinator is believed to live after it has said so.
const AliveTime = 60 * time.Second

func hereHash(tailnet string, k key.Public) uint32 {
	h := fnv.New32a()
	h.Write([]byte(tailnet))
	h.Write(k[:])
	return h.Sum32()
}

// Here is who has a stream at this coordinator, by soft bucket, as it is stored.
func (s *State) Here() (sets [coordstore.SoftBuckets][]byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all [coordstore.SoftBuckets][]uint32
	for _, t := range s.tailnets {
		if t.feed == nil {
			continue
		}
		for _, sub := range t.feed.subs {
			all[t.soft.number] = append(all[t.soft.number], hereHash(t.id, sub.key))
		}
	}
	for n, set := range all {
		sets[n] = encodeSet(set)
	}
	return sets
}

// mostSet is what a set may have in bytes: there is room for some 20,000. Who is beyond
// it is online here only.
const mostSet = 60 << 10

func encodeSet(set []uint32) []byte {
	slices.Sort(set)
	set = slices.Compact(set)
	b, before := []byte{}, uint32(0)
	for _, h := range set {
		if len(b) > mostSet {
			break
		}
		b = binary.AppendUvarint(b, uint64(h-before))
		before = h
	}
	return b
}

func decodeSet(b []byte) (set []uint32) {
	at := uint32(0)
	for len(b) > 0 {
		step, n := binary.Uvarint(b)
		if n <= 0 {
			return nil
		}
		at += uint32(step)
		set, b = append(set, at), b[n:]
	}
	return set
}

func (s *State) presence(name string) *presence {
	p := s.here[name]
	if p == nil {
		p = &presence{}
		s.here[strings.Clone(name)] = p
	}
	return p
}

func (s *State) applyHere(name string, b *bucket, e coordstore.Entry) {
	p := s.presence(name)
	p.sets[b.number], p.revs[b.number] = decodeSet(e.Value), e.Revision
	if e.Value == nil {
		p.revs[b.number] = 0
	}
	s.tidyHere(name, p)
}

func (s *State) applyAlive(name string, e coordstore.Entry) {
	p := s.presence(name)
	p.alive, p.rev = s.now(), e.Revision
	if e.Value == nil {
		p.alive, p.rev = 0, 0
	}
	s.tidyHere(name, p)
}

func (s *State) tidyHere(name string, p *presence) {
	if p.rev == 0 && p.revs == [coordstore.SoftBuckets]uint64{} {
		delete(s.here, name)
	}
}

// A Leftover is a record that nobody needs, and its revision.
type Leftover struct {
	Bucket, Key string
	Revision    uint64
}

// DeadCoordinators are the records of those that have said nothing for long.
func (s *State) DeadCoordinators(long time.Duration) (all []Leftover) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for name, p := range s.here {
		if s.now()-p.alive < int64(long) {
			continue
		}
		for n, rev := range p.revs {
			if rev != 0 {
				all = append(all, Leftover{coordstore.Soft(n), HereKey(name), rev})
			}
		}
		if p.rev != 0 {
			all = append(all, Leftover{coordstore.Soft(0), AliveKey(name), p.rev})
		}
	}
	return all
}

// online reports whether a member has a stream anywhere, as far as is known here. What
// this coordinator has written of itself may be half a minute old.
func (s *State) online(m *member) bool {
	if m.streams > 0 {
		return true
	}
	h := hereHash(m.net.id, m.key)
	for name, p := range s.here {
		if name == s.own || p.alive == 0 || s.now()-p.alive > int64(AliveTime) {
			continue
		}
		if _, ok := slices.BinarySearch(p.sets[m.net.soft.number], h); ok {
			return true
		}
	}
	return false
}

// Coordinators are those that live.
func (s *State) Coordinators() (names []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for name, p := range s.here {
		if p.alive != 0 && s.now()-p.alive <= int64(AliveTime) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// HereRevision is what stands at one of the records of presence.
func (s *State) HereRevision(bucket, k string) uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if name, ok := strings.CutPrefix(k, prefixAlive); ok && s.here[name] != nil {
		return s.here[name].rev
	}
	if name, ok := strings.CutPrefix(k, prefixHere); ok && s.here[name] != nil {
		return s.here[name].revs[s.bucket(bucket).number]
	}
	return 0
}
