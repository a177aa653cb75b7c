package coordstate

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

const bucketHard = coordstore.Hard

// Member is all that is known of one.
type Member struct {
	Key      key.Public
	Name     string
	Index    uint32
	Joined   int64
	Disabled bool
	Revision uint64 // of its record

	Soft      SoftRecord // its last report
	SoftKnown uint64     // revision of it; 0: nothing stands there
	Addresses []netip.Addr
	Heard     int64
	Online    bool
}

func (s *State) seconds() uint32 { return uint32(s.start.Unix() + s.now()/1e9) }

func (s *State) describe(m *member) Member {
	d := Member{Key: m.key, Name: m.name, Index: m.index, Joined: int64(m.joined), Disabled: m.disabled, Revision: m.hard,
		SoftKnown: m.soft.rev, Heard: int64(m.heard)}
	d.Soft = SoftRecord{Boot: m.boot, Seq: m.seq, Home: m.home, Disco: m.disco, Version: s.versions.all[m.version], Since: int64(m.since)}
	if m.from != [16]byte{} {
		d.Soft.From = netip.AddrFrom16(m.from).Unmap().String()
	}
	if r, ok := m.net.rivals[m.key]; ok {
		d.Soft.Rival, d.Soft.RivalAt = r.from.String(), r.at
	}
	if m.net.rec != nil {
		d.Addresses = m.net.rec.Addresses(m.index)
	}
	return d
}

// Find is a member of a tailnet, disabled or not.
func (s *State) Find(tailnet string, k key.Public) (Member, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tailnets[tailnet]
	if t == nil || t.rec == nil {
		return Member{}, false
	}
	m := s.index.find(t, k)
	if m == nil {
		return Member{}, false
	}
	return s.describe(m), true
}

// MemberRevision is the revision of a member's record, also of one that counts for
// nobody because its tailnet does not stand. 0: nothing stands there.
func (s *State) MemberRevision(tailnet string, k key.Public) uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tailnets[tailnet]
	if t == nil {
		return 0
	}
	if m := s.index.find(t, k); m != nil {
		return m.hard
	}
	return t.lingering[k].rev
}

// Counts reports whether a key is a member that may do something, since when, and
// notes that it was heard.
func (s *State) Counts(tailnet string, k key.Public) (joined int64, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tailnets[tailnet]
	if t == nil {
		return 0, false
	}
	m := s.index.find(t, k)
	if !m.counts() {
		return 0, false
	}
	return int64(m.joined), true
}

// Heard notes that a member has been heard.
func (s *State) Heard(tailnet string, k key.Public) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tailnets[tailnet]; t != nil {
		if m := s.index.find(t, k); m != nil {
			m.heard = s.seconds()
		}
	}
}

// Peer is a member as the others see it.
func (s *State) Peer(tailnet string, k key.Public) (coordapi.Peer, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tailnets[tailnet]
	if t == nil {
		return coordapi.Peer{}, false
	}
	m := s.index.find(t, k)
	if !m.counts() {
		return coordapi.Peer{}, false
	}
	p, on := m.peer(), s.online(m)
	p.Online = &on
	return p, true
}

// Tailnet is one, as operators see it.
type Tailnet struct {
	ID       string
	Record   TailnetRecord // not to be changed
	Revision uint64
	Members  int
	Online   int
}

func (s *State) describeNet(t *tailnet) Tailnet {
	d := Tailnet{ID: t.id, Record: *t.rec, Revision: t.rev, Members: len(t.members)}
	for _, m := range t.members {
		if s.online(m) {
			d.Online++
		}
	}
	return d
}

// Tailnet finds one by its name or ID.
func (s *State) Tailnet(nameOrID string) (Tailnet, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.byName[nameOrID]
	if t == nil {
		t = s.tailnets[nameOrID]
	}
	if t == nil || t.rec == nil {
		return Tailnet{}, false
	}
	return s.describeNet(t), true
}

// TailnetName is the name of a tailnet.
func (s *State) TailnetName(id string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tailnets[id]; t != nil && t.rec != nil {
		return t.rec.Name
	}
	return ""
}

// Tailnets are all, by name.
func (s *State) Tailnets() (all []Tailnet) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range s.tailnets {
		if t.rec != nil {
			all = append(all, s.describeNet(t))
		}
	}
	slices.SortFunc(all, func(a, b Tailnet) int { return strings.Compare(a.Record.Name, b.Record.Name) })
	return all
}

// Members are those of a tailnet, by name.
func (s *State) Members(id string) []Member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tailnets[id]
	if t == nil || t.rec == nil {
		return nil
	}
	all := make([]Member, len(t.members))
	for i, m := range t.members {
		all[i] = s.describe(m)
		all[i].Online = s.online(m)
	}
	slices.SortFunc(all, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// InvitedTo is the tailnet of an invite, and what is known of it.
func (s *State) InvitedTo(id [8]byte) (tailnet string, i Invite, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.invites[id]
	if t == nil {
		return "", i, false
	}
	for _, i := range t.rec.Invites {
		if got, _ := ID8(i.ID); got == id {
			return t.id, i, true
		}
	}
	return "", i, false
}

// Relay is one that may ask.
type Relay struct {
	Name     string
	Record   RelayRecord
	Revision uint64
}

// Relays are all, by name.
func (s *State) Relays() (all []Relay) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.relays {
		all = append(all, Relay{r.name, r.record, r.rev})
	}
	slices.SortFunc(all, func(a, b Relay) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Single is what stands at one of the keys that are single.
func (s *State) Single(k string) (value []byte, rev uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.single[k].value, s.single[k].rev
}

// NameTaken reports whether a tailnet is called so.
func (s *State) NameTaken(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byName[name] != nil
}

// Lingering are records that nobody needs: of members who are gone, of tailnets that
// are, and reports of neither.
func (s *State) Lingering(most int) (all []Leftover) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id, t := range s.tailnets {
		for k, l := range t.lingering {
			all = append(all, Leftover{bucketHard, MemberKey(id, k), l.rev})
		}
		if t.rec == nil && !t.unread {
			for _, m := range t.members {
				all = append(all, Leftover{bucketHard, MemberKey(id, m.key), m.hard})
			}
		}
		if len(all) > most {
			return all[:most]
		}
	}
	for o, r := range s.orphans {
		if len(all) >= most {
			break
		}
		all = append(all, Leftover{coordstore.Soft(coordstore.SoftOf(o.tailnet)), SoftKey(o.tailnet, o.key), r.rev})
	}
	return all
}

// Totals are what the status shows.
type Totals struct {
	Tailnets, Members, Streams, Relays, BadRecords, Orphans int
	Changes, Snapshots, Resumes                             uint64
	HardRevision                                            uint64
}

// Totals returns them.
func (s *State) Totals() Totals {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return Totals{Tailnets: len(s.byName), Members: s.members, Streams: s.subs, Relays: len(s.relays), BadRecords: s.bad,
		Orphans: len(s.orphans), Changes: s.changes.Load(), Snapshots: s.snapshots.Load(), Resumes: s.resumes.Load(), HardRevision: s.hard.pos}
}

// ForgetReport says that the report of nobody does not stand any more as it was.
func (s *State) ForgetReport(l Leftover) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, k, ok := parseMember(l.Key, prefixSoft); ok && s.orphans[orphan{id, k}].rev == l.Revision {
		delete(s.orphans, orphan{id, k})
	}
}

// LeftBy are the records of somebody who is gone.
func (s *State) LeftBy(tailnet string, k key.Public) (all []Leftover) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tailnets[tailnet]; t != nil {
		if l, ok := t.lingering[k]; ok {
			all = append(all, Leftover{bucketHard, MemberKey(tailnet, k), l.rev})
		}
	}
	if o, ok := s.orphans[orphan{tailnet, k}]; ok {
		all = append(all, Leftover{coordstore.Soft(coordstore.SoftOf(tailnet)), SoftKey(tailnet, k), o.rev})
	}
	return all
}
