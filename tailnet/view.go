package tailnet

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

// view is what a member knows of its tailnet. It is guarded by Member.mu.
type view struct {
	self    Self
	peers   map[key.Public]Peer
	mapText json.RawMessage // of derpMap
	derpMap *derpmap.Map    // nil: none yet
	cursor  string          // all up to it is in here

	// told has those that a snapshot which is not complete has told of; nil: there is
	// none. Only its end says who is gone: one that breaks says nothing.
	told map[key.Public]bool
}

// errTooMany: a coordinator tells of more peers than a tailnet can have.
var errTooMany = errors.New("the coordinator tells of more peers than a tailnet can have")

// errNoMap: what should have been a map is none.
var errNoMap = errors.New("the map of the coordinator has no regions: the one before stays")

// begin notes that a snapshot begins.
func (v *view) begin() { v.told = make(map[key.Public]bool) }

// put takes what is told of a peer. Who is told without a home keeps the one that is
// known: a coordinator may have lost where its members are, until they say so again.
func (v *view) put(p Peer) (events []Event, err error) {
	if p.Key.IsZero() || p.Key == v.self.Key {
		return nil, nil
	}
	before, known := v.peers[p.Key]
	if !known && len(v.peers) >= coordapi.MostMembers && !v.makeRoom() {
		return nil, errTooMany
	}
	if v.told != nil {
		v.told[p.Key] = true
	}
	if p.Home == 0 {
		p.Home = before.Home
		if p.Disco.IsZero() {
			p.Disco = before.Disco
		}
	}
	v.peers[p.Key] = p
	switch {
	case !known:
		return []Event{{Type: PeerAdded, Peer: p}}, nil
	case !before.same(p):
		return []Event{{Type: PeerChanged, Peer: p, Before: before}}, nil
	}
	return nil, nil
}

// makeRoom reports whether one more is believed: within a snapshot it may stand for one
// of those before it, who are not told of and go at its end. One that never ends is
// followed by others.
func (v *view) makeRoom() bool {
	return v.told != nil && len(v.told) < coordapi.MostMembers && len(v.peers) < 2*coordapi.MostMembers
}

// drop takes out who is gone.
func (v *view) drop(k key.Public) []Event {
	p, known := v.peers[k]
	if !known {
		return nil
	}
	delete(v.peers, k)
	delete(v.told, k)
	return []Event{{Type: PeerGone, Peer: p}}
}

// complete says that all has been told.
func (v *view) complete() (events []Event) {
	if v.told == nil {
		return nil
	}
	for _, k := range slices.SortedFunc(maps.Keys(v.peers), key.Public.Compare) {
		if !v.told[k] {
			events = append(events, v.drop(k)...)
		}
	}
	v.told = nil
	return events
}

// take goes over to another map, if it is one.
func (v *view) take(text json.RawMessage) (changed bool, err error) {
	text = compact(text)
	if bytes.Equal(text, v.mapText) {
		return false, nil
	}
	m, err := parseMap(text)
	if err != nil {
		return false, err
	}
	v.mapText, v.derpMap = text, m
	return true, nil
}

func parseMap(text json.RawMessage) (*derpmap.Map, error) {
	m, err := derpmap.Load(text, derpmap.JSON)
	if err != nil {
		return nil, errors.New("the map of the coordinator cannot be read, and the one before stays: " + cleanText(err.Error()))
	}
	if len(m.IDs()) == 0 {
		return nil, errNoMap
	}
	return m, nil
}

// same compares what is told of a peer.
func (p Peer) same(q Peer) bool {
	return p.Key == q.Key && p.Name == q.Name && p.Home == q.Home && p.Disco == q.Disco && slices.Equal(p.Addresses, q.Addresses)
}

func (v *view) sorted() []Peer {
	return slices.SortedFunc(maps.Values(v.peers), func(a, b Peer) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Key.Compare(b.Key))
	})
}

// named finds a peer by its name; of several, which only a coordinator that lies tells
// of, the one with the least key.
func (v *view) named(name string) (found Peer, known bool) {
	for k, p := range v.peers {
		if p.Name == name && name != "" && (!known || k.Compare(found.Key) < 0) {
			found, known = p, true
		}
	}
	return found, known
}

// isSelf takes what the tailnet has of the member itself.
func (v *view) isSelf(p Peer) (changed bool) {
	if p.Name == "" || len(p.Addresses) == 0 || p.Name == v.self.Name && slices.Equal(p.Addresses, v.self.Addresses) {
		return false
	}
	v.self.Name, v.self.Addresses = p.Name, p.Addresses
	return true
}
