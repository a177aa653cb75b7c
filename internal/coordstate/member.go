package coordstate

import (
	"hash/maphash"
	"net/netip"
	"slices"

	"github.com/detour-relay/detour/key"
)

// soft is a member's last report.
type soft struct {
	rev       uint64 // 0: nothing stands in the bucket
	boot, seq uint64
	disco     key.Public
	from      [16]byte // zero: not known
	home      int32
	since     uint32 // s
	version   uint32 // index into versions
}

// member is laid out for a million of them: 176 bytes.
type member struct {
	key key.Public
	soft
	name     string
	net      *tailnet
	next     *member // of those with the same hash
	hard     uint64  // revision of its record
	index    uint32
	joined   uint32 // s
	heard    uint32 // s; when a coordinator's process last heard it; 0: not yet
	pos      uint32 // in net.members
	gen      uint8  // the load that has told of it
	streams  uint8  // here
	disabled bool
}

// index finds members by key, over all tailnets.
type index struct {
	seed maphash.Seed
	at   map[uint64]*member
}

func (x *index) hash(k key.Public) uint64 { return maphash.Bytes(x.seed, k[:]) }

// find is the member with the key in the tailnet, or nil.
func (x *index) find(t *tailnet, k key.Public) *member {
	for m := x.at[x.hash(k)]; m != nil; m = m.next {
		if m.net == t && m.key == k {
			return m
		}
	}
	return nil
}

func (x *index) add(m *member) {
	h := x.hash(m.key)
	m.next = x.at[h]
	x.at[h] = m
}

func (x *index) remove(m *member) {
	h := x.hash(m.key)
	if x.at[h] == m {
		if x.at[h] = m.next; m.next == nil {
			delete(x.at, h)
		}
		return
	}
	for before := x.at[h]; before != nil; before = before.next {
		if before.next == m {
			before.next = m.next
			return
		}
	}
}

// lingering is a member record that counts no more.
type lingering struct {
	record MemberRecord
	rev    uint64
	gen    uint8
}

type rival struct {
	from netip.Addr
	at   int64 // s
}

type tailnet struct {
	id      string
	rev     uint64
	rec     *TailnetRecord // nil: none stands. Not changed, but replaced
	members []*member      // whose record stands, in no order
	soft    *bucket
	hardMax uint64 // of what is told
	softMax uint64
	feed    *feed // nil: nobody watches
	gen     uint8
	unread  bool // its record cannot be read

	lingering map[key.Public]lingering
	claims    map[Claim]int64      // when each was first seen here, ns of the process
	rivals    map[key.Public]rival // other machines with a member's key
}

// gone reports whether a record of the key counts no more.
func (t *tailnet) gone(k key.Public, joined int64) bool {
	return slices.ContainsFunc(t.rec.Gone, func(g Gone) bool { return g.Key == k && g.Joined == joined })
}

// counts reports whether m is a member that may do something.
func (m *member) counts() bool { return m != nil && m.net.rec != nil && !m.disabled }

func (t *tailnet) add(m *member) {
	m.net, m.pos = t, uint32(len(t.members))
	t.members = append(t.members, m)
}

func (t *tailnet) drop(m *member) {
	last := len(t.members) - 1
	t.members[m.pos] = t.members[last]
	t.members[m.pos].pos = m.pos
	t.members[last] = nil
	t.members = t.members[:last]
	if cap(t.members) > 64 && last < cap(t.members)/4 {
		t.members = slices.Clone(t.members)
	}
	if t.feed != nil {
		t.feed.snap = nil
	}
}

// versions are few, however many members have them.
type versions struct {
	all   []string
	index map[string]uint32
}

const mostVersions = 4096

func (v *versions) put(s string) uint32 {
	if n, ok := v.index[s]; ok {
		return n
	}
	if len(v.all) >= mostVersions {
		return 0
	}
	v.all = append(v.all, s)
	v.index[s] = uint32(len(v.all) - 1)
	return v.index[s]
}
