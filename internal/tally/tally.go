// Package tally counts what those do together who have something in common, such as
// a tenant of a relay.
package tally

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// A Group is those that are counted together. A nil one is nobody's, and counts
// nothing.
type Group struct {
	name    string // set once
	members int    // guarded by Groups.mu
	parts   [parts]part
}

// Members who bring something at the same time seldom add it to the same part.
const parts = 8

type part struct {
	packets, bytes atomic.Uint64
	_              [48]byte // of a line of the cache
}

// Groups are those that have members. The zero value has none.
type Groups struct {
	mu     sync.Mutex
	byName map[string]*Group // guarded by mu
}

// A State is a group at one moment.
type State struct {
	Name           string
	Members        int
	Packets, Bytes uint64 // since it had its first member
}

// Join counts one more into the group of this name; an empty one means nil.
func (gs *Groups) Join(name string) *Group {
	if name == "" {
		return nil
	}
	gs.mu.Lock()
	defer gs.mu.Unlock()
	g := gs.byName[name]
	if g == nil {
		if gs.byName == nil {
			gs.byName = make(map[string]*Group)
		}
		g = &Group{name: name}
		gs.byName[name] = g
	}
	g.members++
	return g
}

// Leave counts one out who has joined. The last one takes the group with it.
func (gs *Groups) Leave(g *Group) {
	if g == nil {
		return
	}
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if g.members--; g.members == 0 {
		delete(gs.byName, g.name)
	}
}

// States returns the groups by name.
func (gs *Groups) States() []State {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	states := make([]State, 0, len(gs.byName))
	for _, g := range gs.byName {
		states = append(states, g.stateLocked())
	}
	slices.SortFunc(states, func(a, b State) int { return cmp.Compare(a.Name, b.Name) })
	return states
}

// stateLocked needs Groups.mu held.
func (g *Group) stateLocked() State {
	s := State{Name: g.name, Members: g.members}
	for i := range g.parts {
		s.Packets += g.parts[i].packets.Load()
		s.Bytes += g.parts[i].bytes.Load()
	}
	return s
}

// Name is that which was given to Join.
func (g *Group) Name() string {
	if g == nil {
		return ""
	}
	return g.name
}

// Received adds up what a member has brought. It takes no lock, and those who do not say
// the same number seldom wait for each other.
func (g *Group) Received(who uint64, packets, bytes int) {
	if g == nil {
		return
	}
	p := &g.parts[who%parts]
	p.packets.Add(uint64(packets))
	p.bytes.Add(uint64(bytes))
}
