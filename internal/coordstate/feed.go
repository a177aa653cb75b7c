package coordstate

import (
	"sync"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

// change is what all subs of a tailnet are told, encoded once.
type change struct {
	rev  uint64
	soft bool // rev is one of the soft bucket
	gone bool
	key  key.Public
	line []byte
}

// Bounds of a feed's ring. Who has fallen behind it is resumed from the records.
const (
	mostRing = 1024
	cutRing  = mostRing / 4 // goes at once
)

// feed has the last changes of a tailnet. Guarded by State.mu; what is made of them
// while many read, by its own.
type feed struct {
	ring  []change
	first uint64 // place of ring[0]
	subs  []*Sub

	mu      sync.Mutex
	snap    *snapshot
	mapLine []byte
	mapHash uint64
	at      Cursor
	atLine  []byte
}

// snapshot is all members' lines, one after the other; that of members[i] ends at
// ends[i].
type snapshot struct {
	text []byte
	ends []uint32
}

func (f *feed) end() uint64 { return f.first + uint64(len(f.ring)) }

func (f *feed) push(c change) {
	f.snap = nil
	f.ring = append(f.ring, c)
	if len(f.ring) >= mostRing {
		f.first += cutRing
		f.ring = append(make([]change, 0, mostRing), f.ring[cutRing:]...)
	}
	f.wake()
}

// restart sends all subs back to what the records say.
func (f *feed) restart() {
	f.first, f.ring, f.snap = f.end()+1, nil, nil
}

func (f *feed) wake() {
	for _, sub := range f.subs {
		sub.owner.Wake()
	}
}

func (s *State) tellPeer(m *member, rev uint64, ofSoft bool) {
	s.changes.Add(1)
	if f := m.net.feed; f != nil && m.net.rec != nil {
		f.push(change{rev: rev, soft: ofSoft, key: m.key, line: appendPeer(nil, m)})
	}
}

func (s *State) tellGone(t *tailnet, k key.Public, rev uint64) {
	s.changes.Add(1)
	if t.rec != nil {
		s.gone.push(s, t, k, rev)
	}
	if t.feed != nil {
		t.feed.push(change{rev: rev, gone: true, key: k, line: goneLine(k)})
	}
}

// An Owner has a sub. It is called with locks held.
type Owner interface {
	Wake()     // there may be something to take
	Displace() // another one has come in its place
}

// mostSubs is how many subs a member may have; the oldest makes room.
const mostSubs = 2

// A Sub watches a tailnet. One goroutine at a time calls Take.
type Sub struct {
	net    *tailnet
	key    key.Public
	joined uint32
	owner  Owner
	serial uint64 // later ones have higher ones
	place  int    // in feed.subs; guarded by State.mu

	// Owned by who calls Take.
	at      Cursor // what it has been told
	next    uint64 // place in the ring
	placed  bool   // next means something
	begun   bool   // it has been told how it begins
	mapHash uint64 // of the map that it has
}

// Subscribe makes a sub for a member. Nil: it is none.
func (s *State) Subscribe(tailnet string, k key.Public, cursor string, owner Owner) *Sub {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tailnets[tailnet]
	if t == nil {
		return nil
	}
	m := s.index.find(t, k)
	if !m.counts() || m.streams == 255 {
		return nil
	}
	if t.feed == nil {
		t.feed = &feed{}
	}
	if m.streams >= mostSubs {
		t.feed.displace(k)
	}
	s.serial++
	sub := &Sub{net: t, key: k, joined: m.joined, owner: owner, serial: s.serial, place: len(t.feed.subs)}
	sub.at, _ = ParseCursor(cursor)
	sub.mapHash = sub.at.Map
	t.feed.subs = append(t.feed.subs, sub)
	m.streams++
	m.heard = s.seconds()
	s.subs++
	return sub
}

// displace ends all subs of a key but the last one.
func (f *feed) displace(k key.Public) {
	var last *Sub
	for _, sub := range f.subs {
		if sub.key != k {
			continue
		}
		if last == nil || sub.serial > last.serial {
			last, sub = sub, last
		}
		if sub != nil {
			sub.owner.Displace()
		}
	}
}

// Unsubscribe ends a sub.
func (s *State) Unsubscribe(sub *Sub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := sub.net.feed
	last := len(f.subs) - 1
	f.subs[sub.place] = f.subs[last]
	f.subs[sub.place].place = sub.place
	f.subs[last] = nil
	f.subs = f.subs[:last]
	if last == 0 {
		sub.net.feed = nil
		s.tidy(sub.net)
	}
	if m := s.index.find(sub.net, sub.key); m != nil && m.joined == sub.joined && m.streams > 0 {
		m.streams--
		m.heard = s.seconds()
	}
	s.subs--
}

// A Batch is what a sub is told at once. The bytes are shared.
type Batch struct {
	Lines   [][]byte
	Removed bool // it is no member any more: the last
	Waits   bool // this coordinator is behind what the sub has seen
}

// Take is what a sub has not been told yet. It rather waits than begins anew with less
// than it has seen.
func (s *State) Take(sub *Sub) (b Batch) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := sub.net
	m := s.index.find(t, sub.key)
	if !m.counts() || m.joined != sub.joined {
		return Batch{Lines: [][]byte{startLine(coordapi.EventRemoved, false)}, Removed: true}
	}
	if !s.hard.loaded || !t.soft.loaded || !s.hard.isWhole() || !t.soft.isWhole() {
		return b
	}
	if !sub.placed || sub.next < t.feed.first {
		if !s.begin(sub, m, &b) {
			b.Waits = true
			return b
		}
	} else {
		s.goOn(sub, m, &b)
	}
	s.tellMap(sub, &b)
	if len(b.Lines) > 0 {
		b.Lines = append(b.Lines, s.tellAt(sub))
	}
	return b
}

// goOn tells the changes of the ring, but those that the cursor had already.
func (s *State) goOn(sub *Sub, m *member, b *Batch) {
	f := sub.net.feed
	for _, c := range f.ring[sub.next-f.first:] {
		if c.rev <= sub.at.Hard && !c.soft || c.rev <= sub.at.Soft && c.soft {
			continue
		}
		b.tell(sub, c)
	}
	sub.next = f.end()
}

func (b *Batch) tell(sub *Sub, c change) {
	switch {
	case c.key != sub.key:
		b.Lines = append(b.Lines, c.line)
	case !c.gone:
		b.Lines = append(b.Lines, asSelf(c.line)...)
	}
}

// cursor is what a tailnet is known up to.
func (s *State) cursor(t *tailnet) Cursor {
	return Cursor{hash32(t.id), s.hard.epochHash, s.hard.pos, t.soft.epochHash, t.soft.pos, s.dmap.hash}
}

// tellAt is the cursor after all that was told. It never goes back.
func (s *State) tellAt(sub *Sub) []byte {
	at := s.cursor(sub.net)
	if sub.at.HardEpoch == at.HardEpoch {
		at.Hard = max(at.Hard, sub.at.Hard)
	}
	if sub.at.SoftEpoch == at.SoftEpoch {
		at.Soft = max(at.Soft, sub.at.Soft)
	}
	at.Map = sub.mapHash
	sub.at = at
	f := sub.net.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.atLine == nil || f.at != at {
		f.at, f.atLine = at, atLine(at.Text())
	}
	return f.atLine
}

// Cursor is what a sub has been told.
func (s *State) Cursor(sub *Sub) string { return sub.at.Text() }

func (s *State) tellMap(sub *Sub, b *Batch) {
	d := &s.dmap
	if d.hash == sub.mapHash || d.m == nil {
		return
	}
	if sub.mapHash != 0 && sub.at.HardEpoch == s.hard.epochHash && d.rev <= sub.at.Hard {
		return // the cursor has a later one
	}
	f := sub.net.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mapHash != d.hash {
		f.mapHash, f.mapLine = d.hash, mapLine(MapFor(d.m, sub.net.id))
	}
	sub.mapHash = d.hash
	b.Lines = append(b.Lines, f.mapLine)
}
