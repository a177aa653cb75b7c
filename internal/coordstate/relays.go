package coordstate

import (
	"slices"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

const mostGoneRing = 8192

// goneRing has the last who are members no more, of all tailnets, for relays.
type goneRing struct {
	all   []goneChange
	first uint64 // place of all[0]
	floor uint64 // removals up to this revision are forgotten
}

type goneChange struct {
	rev uint64
	net string
	key key.Public
}

func (g *goneRing) end() uint64 { return g.first + uint64(len(g.all)) }

func (g *goneRing) push(s *State, t *tailnet, k key.Public, rev uint64) {
	if !s.hard.loaded {
		return // relays get a snapshot
	}
	if len(g.all) >= mostGoneRing {
		const cut = mostGoneRing / 4
		g.floor = g.all[cut-1].rev
		g.all = slices.Clone(g.all[cut:])
		g.first += cut
	}
	g.all = append(g.all, goneChange{rev, t.id, k})
	s.wakeRelays()
}

func (g *goneRing) restart(pos uint64) {
	g.first, g.all, g.floor = g.end()+1, nil, pos
}

func (r *relay) wake() {
	for sub := range r.subs {
		sub.owner.Wake()
	}
}

func (s *State) wakeRelays() {
	for _, r := range s.relays {
		r.wake()
	}
}

// sees reports whether a relay may know of a tailnet.
func (r *relay) sees(net string) bool {
	return len(r.record.Tailnets) == 0 || slices.Contains(r.record.Tailnets, net)
}

// lets reports whether a relay lets a key in. A nil relay sees all.
func (s *State) lets(r *relay, k key.Public) bool {
	for m := s.index.at[s.index.hash(k)]; m != nil; m = m.next {
		if m.key == k && m.counts() && (r == nil || r.sees(m.net.id)) {
			return true
		}
	}
	return false
}

// Relay is the name of the relay with the token whose hash this is; empty: none.
func (s *State) Relay(hash [32]byte) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.byToken[hash]; r != nil {
		return r.name
	}
	return ""
}

// Admits reports whether a key may come in at a relay; an empty name is a relay that
// sees all.
func (s *State) Admits(relayName string, k key.Public) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.relays[relayName]
	if relayName != "" && r == nil {
		return false
	}
	return s.lets(r, k)
}

// A RelaySub watches for a relay. One goroutine at a time calls TakeGone.
type RelaySub struct {
	relay  *relay
	owner  Owner
	at     Cursor
	next   uint64
	placed bool
	begun  bool
}

// SubscribeRelay makes one; nil: there is no such relay.
func (s *State) SubscribeRelay(name, cursor string, owner Owner) *RelaySub {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.relays[name]
	if r == nil {
		return nil
	}
	sub := &RelaySub{relay: r, owner: owner}
	sub.at, _ = ParseCursor(cursor)
	if r.subs == nil {
		r.subs = map[*RelaySub]struct{}{}
	}
	r.subs[sub] = struct{}{}
	return sub
}

// UnsubscribeRelay ends one.
func (s *State) UnsubscribeRelay(sub *RelaySub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(sub.relay.subs, sub)
}

// TakeGone is what a relay has not been told yet. Removed: its token counts no more.
func (s *State) TakeGone(sub *RelaySub) (b Batch) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if sub.relay.record.Hash == "" {
		return Batch{Removed: true}
	}
	if !s.hard.loaded {
		return b
	}
	if (!sub.placed || sub.next < s.gone.first) && !s.beginRelay(sub, &b) {
		b.Waits = true
		return b
	}
	for _, c := range s.gone.all[sub.next-s.gone.first:] {
		if c.rev > sub.at.Hard && sub.relay.sees(c.net) && !s.lets(sub.relay, c.key) {
			b.Lines = append(b.Lines, goneLine(c.key))
		}
	}
	sub.next = s.gone.end()
	if len(b.Lines) > 0 {
		b.Lines = append(b.Lines, s.relayAt(sub))
	}
	return b
}

func (s *State) beginRelay(sub *RelaySub, b *Batch) bool {
	same := sub.at.HardEpoch == s.hard.epochHash && sub.at.Tailnet == 0
	kind := coordapi.EventResumed
	if !same || sub.at.Hard < s.gone.floor {
		if same && sub.at.Hard > s.hard.pos {
			return false
		}
		kind, sub.at = coordapi.EventSnapshot, Cursor{}
	}
	if !sub.begun || kind == coordapi.EventSnapshot {
		b.Lines = append(b.Lines, startLine(kind, !s.hard.current))
	}
	sub.placed, sub.begun, sub.next = true, true, s.gone.first
	if kind == coordapi.EventSnapshot {
		sub.next = s.gone.end()
	}
	return true
}

func (s *State) relayAt(sub *RelaySub) []byte {
	hard := s.hard.whole
	if sub.at.HardEpoch == s.hard.epochHash {
		hard = max(hard, sub.at.Hard)
	}
	sub.at = Cursor{HardEpoch: s.hard.epochHash, Hard: hard}
	return atLine(sub.at.Text())
}

// RelayCursor is what a relay has been told.
func (s *State) RelayCursor(sub *RelaySub) string { return sub.at.Text() }
