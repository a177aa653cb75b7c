package relay

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/audience"
	"github.com/detour-relay/detour/internal/keytable"
	"github.com/detour-relay/detour/key"
)

// A route is where packets for a key go now. It exists as long as the key has a
// conn here or a sibling announces it; a key that comes back gets a new one. It has
// 128 bytes, so that what a lookup reads lies in one cache line.
type route struct {
	key        key.Public
	active     atomic.Pointer[outbox] // nil: no conn is active, or the key has left
	generation atomic.Uint32          // how often active has changed

	retired   bool // guarded by routes.mu: routed via a sibling although it has conns (drain.go)
	withdrawn bool // guarded by routes.mu: and watchers have been told that it has left

	local      atomic.Pointer[outbox] // of the youngest conn of the key; nil: it has none
	conns      []*conn                // guarded by routes.mu: all conns of the key, oldest first
	duplicates *duplicateSet          // guarded by routes.mu: while there are several (duplicates.go)
	listeners  audience.Listeners     // presence.go: who is told when the key leaves

	forwarders []*link // guarded by routes.mu: oldest first (forwarders.go)
}

// setActive makes out the outbox that packets go to; nil for none. The generation
// comes last: whoever has read it before asks again.
func (rt *route) setActive(out *outbox) {
	rt.active.Store(out)
	rt.generation.Add(1)
}

// routes knows the route of every key. lookup takes no lock; everything that
// changes takes mu, the registration mutex.
//
// Locks are taken in this order, and none is held while another package is called:
//
//	routes.mu · those of package audience
//	routes.mu · outbox.mu
//	that of a Waiter · all of these, since an admitted conn is registered under it
//
// Server.mu, sweeper.mu and those of packages limit, tally and wheel are taken with none
// of the others held, nor while they are.
type routes struct {
	count *counters              // set once
	table *keytable.Table[route] // set once; changed under mu

	audience *audience.Register[conn] // presence.go; set once

	peers atomic.Int64 // written under mu: keys of table that have conns

	mu       sync.Mutex
	logins   uint64             // guarded by mu: conns that were ever registered
	watchers map[*conn]struct{} // guarded by mu (presence.go)
	links    map[*link]struct{} // guarded by mu (forwarders.go)
	draining bool               // guarded by mu (drain.go)
	retirees []retiree          // guarded by mu (drain.go)
}

// removed marks a slot whose route has left. It is the route of no key and leads
// nowhere.
var removed = new(route)

func (r *routes) init(count *counters) {
	r.count = count
	r.audience = audience.NewRegister(func(c *conn) *audience.Heard { return &c.heard })
	r.watchers = make(map[*conn]struct{})
	r.links = make(map[*link]struct{})
	r.table = keytable.New(func(rt *route) *key.Public { return &rt.key }, removed)
}

// lookup returns the route of k, or nil if k has no conn.
func (r *routes) lookup(k *key.Public) *route {
	for slots, i := r.table.Probe(k); ; i++ {
		rt := slots.At(i)
		if rt == nil || keytable.Same(&rt.key, k) && rt != removed {
			return rt
		}
	}
}

const (
	// slotsAtOnce is how many slots of the table are looked at under one hold of the
	// registration mutex.
	slotsAtOnce = 1024

	// breather is how long whoever visits all conns leaves the processor to others after
	// atOnce of them, which take a millisecond: where it is the only one, nobody would
	// look at the network for ten.
	breather = 50 * time.Microsecond
	atOnce   = 1000
)

// all ranges over every conn, without holding mu. Of conns that come or go
// meanwhile some are among them.
func (r *routes) all(yield func(*conn) bool) {
	var conns []*conn
	visited := 0
	for walk := r.table.Walk(); walk.Left(); {
		conns = conns[:0]
		r.mu.Lock()
		walk.Step(slotsAtOnce, func(rt *route) { conns = append(conns, rt.conns...) })
		r.mu.Unlock()
		for _, c := range conns {
			if !yield(c) {
				return
			}
		}
		if visited += len(conns); visited >= atOnce {
			visited = 0
			time.Sleep(breather)
		}
	}
}
