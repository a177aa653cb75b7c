package coordstate

import (
	"net/netip"
	"strings"

	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// apply takes a change in. The value may be kept: nobody changes it.
func (s *State) apply(b *bucket, e coordstore.Entry) {
	if b.number >= 0 {
		s.applySoft(b, e)
		return
	}
	if id, k, ok := parseMember(e.Key, prefixMember); ok {
		s.applyMember(id, k, e.Value, e.Revision)
	} else if id, ok := strings.CutPrefix(e.Key, prefixTailnet); ok {
		s.applyTailnet(id, e.Value, e.Revision)
	} else if name, ok := strings.CutPrefix(e.Key, prefixRelay); ok {
		s.applyRelay(name, e.Value, e.Revision)
	} else {
		s.applySingle(e.Key, e.Value, e.Revision)
	}
}

func (s *State) tailnet(id string) *tailnet {
	t := s.tailnets[id]
	if t == nil {
		id = strings.Clone(id)
		t = &tailnet{id: id, soft: s.softs[coordstore.SoftOf(id)]}
		s.tailnets[id] = t
	}
	return t
}

func (s *State) applyMember(id string, k key.Public, value []byte, rev uint64) {
	if value == nil {
		if t := s.tailnets[id]; t != nil {
			delete(t.lingering, k)
			s.remove(t, k, rev)
			s.tidy(t)
		}
		return
	}
	rec, ok := decode[MemberRecord](value)
	if !ok || !IsLabel(rec.Name) || !Usable(rec.Index) || k.IsZero() {
		s.bad++
		return
	}
	t := s.tailnet(id)
	delete(t.lingering, k)
	if t.rec != nil && t.gone(k, rec.Joined) {
		s.linger(t, k, lingering{rec, rev, s.hard.gen})
		return
	}
	s.put(t, k, rec, rev)
}

func (s *State) linger(t *tailnet, k key.Public, l lingering) {
	if t.lingering == nil {
		t.lingering = map[key.Public]lingering{}
	}
	t.lingering[k] = l
}

// put makes somebody a member, or changes one.
func (s *State) put(t *tailnet, k key.Public, rec MemberRecord, rev uint64) {
	m := s.index.find(t, k)
	if m == nil {
		m = &member{key: k}
		t.add(m)
		s.index.add(m)
		s.members++
		if o, ok := s.orphans[orphan{t.id, k}]; ok {
			m.soft = o
			delete(s.orphans, orphan{t.id, k})
		}
	}
	if m.joined != uint32(rec.Joined) {
		m.streams = 0 // those from before its removal are not its own: they end
	}
	before := m.disabled
	m.name, m.index, m.joined, m.disabled = strings.Clone(rec.Name), rec.Index, uint32(rec.Joined), rec.Disabled
	m.hard, m.gen = rev, s.hard.gen
	t.hardMax = max(t.hardMax, rev)
	if m.disabled && !before {
		s.tellGone(t, k, rev)
	} else if !m.disabled {
		s.tellPeer(m, rev, false)
	}
}

// remove forgets a member.
func (s *State) remove(t *tailnet, k key.Public, rev uint64) {
	m := s.index.find(t, k)
	if m == nil {
		return
	}
	if m.soft.rev != 0 {
		s.orphans[orphan{t.id, k}] = m.soft
	}
	delete(t.rivals, k)
	s.index.remove(m)
	t.drop(m)
	s.members--
	t.hardMax = max(t.hardMax, rev)
	s.tellGone(t, k, rev)
}

// tidy forgets a tailnet of which nothing stands.
func (s *State) tidy(t *tailnet) {
	if t.rec == nil && len(t.members) == 0 && len(t.lingering) == 0 && t.feed == nil {
		delete(s.tailnets, t.id)
	}
}

func (s *State) applyTailnet(id string, value []byte, rev uint64) {
	t := s.tailnet(id)
	var rec *TailnetRecord
	if value != nil {
		r, ok := decode[TailnetRecord](value)
		if !ok || !IsLabel(r.Name) {
			s.bad++
			t.unread = true
			return
		}
		rec = &r
	}
	s.unlist(t)
	t.unread = false
	t.rec, t.rev, t.gen, t.hardMax = rec, rev, s.hard.gen, max(t.hardMax, rev)
	if rec == nil {
		s.tailnetGone(t, rev)
		return
	}
	s.list(t)
	s.noteClaims(t)
	s.settle(t, rev)
}

// unlist takes what finds a tailnet away, and list puts it there.
func (s *State) unlist(t *tailnet) {
	if t.rec == nil {
		return
	}
	if s.byName[t.rec.Name] == t {
		delete(s.byName, t.rec.Name)
	}
	for _, i := range t.rec.Invites {
		if id, ok := ID8(i.ID); ok && s.invites[id] == t {
			delete(s.invites, id)
		}
	}
}

func (s *State) list(t *tailnet) {
	s.byName[t.rec.Name] = t
	for _, i := range t.rec.Invites {
		if id, ok := ID8(i.ID); ok {
			s.invites[id] = t
		}
	}
}

func (s *State) noteClaims(t *tailnet) {
	if len(t.rec.Claims) == 0 {
		t.claims = nil
		return
	}
	seen := make(map[Claim]int64, len(t.rec.Claims))
	for _, c := range t.rec.Claims {
		if at, ok := t.claims[c]; ok {
			seen[c] = at
		} else {
			seen[c] = s.now()
		}
	}
	t.claims = seen
}

// settle takes out those whom a tailnet's record lists among the gone. A record of who
// is listed no more has been deleted before, told of or not.
func (s *State) settle(t *tailnet, rev uint64) {
	for k, l := range t.lingering {
		if !t.gone(k, l.record.Joined) {
			delete(t.lingering, k)
		}
	}
	for _, g := range t.rec.Gone {
		if m := s.index.find(t, g.Key); m != nil && int64(m.joined) == g.Joined {
			l := lingering{MemberRecord{m.name, m.index, int64(m.joined), m.disabled}, m.hard, m.gen}
			s.remove(t, g.Key, rev)
			s.linger(t, g.Key, l)
		}
	}
}

func (s *State) tailnetGone(t *tailnet, rev uint64) {
	for _, m := range t.members {
		s.gone.push(s, t, m.key, rev)
	}
	if t.feed != nil {
		t.feed.wake()
	}
	s.wakeRelays()
	s.tidy(t)
}

func (s *State) applySoft(b *bucket, e coordstore.Entry) {
	if name, ok := strings.CutPrefix(e.Key, prefixHere); ok {
		s.applyHere(name, b, e)
		return
	}
	if name, ok := strings.CutPrefix(e.Key, prefixAlive); ok {
		s.applyAlive(name, e)
		return
	}
	id, k, ok := parseMember(e.Key, prefixSoft)
	if !ok {
		s.bad++
		return
	}
	var m *member
	if t := s.tailnets[id]; t != nil {
		m = s.index.find(t, k)
	}
	if e.Value == nil {
		delete(s.orphans, orphan{id, k})
		if m != nil {
			m.soft.rev = 0
		}
		return
	}
	rec, ok := decode[SoftRecord](e.Value)
	if !ok {
		s.bad++
		return
	}
	if m == nil {
		s.orphans[orphan{strings.Clone(id), k}] = s.report(rec, e.Revision)
		return
	}
	s.reported(m, rec, e.Revision)
}

func (s *State) report(rec SoftRecord, rev uint64) soft {
	r := soft{rev: rev, boot: rec.Boot, seq: rec.Seq, disco: rec.Disco, home: rec.Home, since: uint32(rec.Since), version: s.versions.put(rec.Version)}
	if a, err := netip.ParseAddr(rec.From); err == nil {
		r.from = a.As16()
	}
	return r
}

func (s *State) reported(m *member, rec SoftRecord, rev uint64) {
	before := m.soft
	m.soft = s.report(rec, rev)
	m.net.softMax = max(m.net.softMax, rev)
	delete(m.net.rivals, m.key)
	if a, err := netip.ParseAddr(rec.Rival); err == nil {
		if m.net.rivals == nil {
			m.net.rivals = map[key.Public]rival{}
		}
		m.net.rivals[m.key] = rival{a, rec.RivalAt}
	}
	if m.counts() && (before.home != m.soft.home || before.disco != m.soft.disco) {
		s.tellPeer(m, rev, true)
	}
}

func (s *State) applyRelay(name string, value []byte, rev uint64) {
	old := s.relays[name]
	if old != nil {
		if h, ok := tokenHash(old.record.Hash); ok {
			delete(s.byToken, h)
		}
		delete(s.relays, name)
	}
	rec, ok := decode[RelayRecord](value)
	h, good := tokenHash(rec.Hash)
	if value == nil || !ok || !good {
		if value != nil {
			s.bad++
		}
		if old != nil {
			old.record = RelayRecord{}
			old.wake()
		}
		return
	}
	r := &relay{name: strings.Clone(name), record: rec, rev: rev, gen: s.hard.gen}
	if old != nil && old.record.Hash == rec.Hash {
		old.record, old.rev, old.gen = rec, rev, s.hard.gen
		r = old
	}
	if old != nil && old != r {
		old.record = RelayRecord{}
		old.wake()
	}
	s.relays[name], s.byToken[h] = r, r
}

func (s *State) applySingle(k string, value []byte, rev uint64) {
	if value == nil {
		delete(s.single, k)
	} else {
		s.single[k] = single{value, rev, s.hard.gen}
	}
	if k == KeyMap {
		s.applyMap(value, rev)
	}
}

// applyMap takes a map that can be read; otherwise the last one stays.
func (s *State) applyMap(value []byte, rev uint64) {
	rec, ok := decode[MapRecord](value)
	if value == nil {
		return
	}
	m, err := rec.Map()
	if !ok || err != nil {
		s.bad++
		return
	}
	s.dmap = newMap(m, rev, rec)
	for _, t := range s.tailnets {
		if t.feed != nil {
			t.feed.wake()
		}
	}
}
