package relay

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/audience"
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
	listeners  audience.Listeners     // gone.go: who is told when the key leaves

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
	seed  [2]uint64             // set once
	count *counters             // set once
	table atomic.Pointer[table] // replaced when it fills up

	audience *audience.Register[conn] // gone.go; set once

	known atomic.Int64 // written under mu: keys in table
	peers atomic.Int64 // written under mu: of these, keys with conns

	mu       sync.Mutex
	logins   uint64             // guarded by mu: conns that were ever registered
	watchers map[*conn]struct{} // guarded by mu (presence.go)
	links    map[*link]struct{} // guarded by mu (forwarders.go)
	draining bool               // guarded by mu (drain.go)
	retirees []retiree          // guarded by mu (drain.go)
}

// A table is a hash table with open addressing. Readers probe it without a lock:
// a slot that has been taken is never empty again, so no probe ends too early.
// It is at most half full, because a probe that misses costs a cache line.
type table struct {
	slots []atomic.Pointer[route] // a power of two
	taken int                     // guarded by routes.mu: slots that are not empty
}

const (
	smallestTable = 256
	tableSpace    = 2 // slots for each key, at least
)

// removed marks a slot whose route has left. It is the route of no key and leads
// nowhere.
var removed = new(route)

func newTable(slots int) *table { return &table{slots: make([]atomic.Pointer[route], slots)} }

func (r *routes) init(count *counters) {
	r.seed = [2]uint64{rand.Uint64(), rand.Uint64()}
	r.count = count
	r.audience = audience.NewRegister(func(c *conn) *audience.Heard { return &c.heard })
	r.watchers = make(map[*conn]struct{})
	r.links = make(map[*link]struct{})
	r.table.Store(newTable(smallestTable))
}

// first returns the slot where probing for k begins. Public keys are as good as
// random and cannot be chosen, only searched for, so two words of them are
// enough; the seed keeps peers from searching for keys that collide.
func (r *routes) first(k *key.Public) uint64 {
	le := binary.LittleEndian
	hi, lo := bits.Mul64(le.Uint64(k[0:])^r.seed[0], le.Uint64(k[8:])^r.seed[1])
	return hi ^ lo
}

// lookup returns the route of k, or nil if k has no conn.
func (r *routes) lookup(k *key.Public) *route {
	slots := r.table.Load().slots
	for i := r.first(k); ; i++ {
		rt := slots[i&uint64(len(slots)-1)].Load()
		if rt == nil || same(&rt.key, k) && rt != removed {
			return rt
		}
	}
}

// insertLocked adds a route whose key is not in the table.
func (r *routes) insertLocked(rt *route) {
	t := r.table.Load()
	if (t.taken+1)*tableSpace > len(t.slots) {
		t = r.renewLocked(t)
	}
	r.known.Add(1)
	r.put(t, rt)
}

// put stores a route in the first empty slot of its probe.
func (r *routes) put(t *table, rt *route) {
	for i := r.first(&rt.key); ; i++ {
		if slot := &t.slots[i&uint64(len(t.slots)-1)]; slot.Load() == nil {
			slot.Store(rt)
			t.taken++
			return
		}
	}
}

// renewLocked moves the routes to a table with space for twice as many. Readers
// of the old one find what they look for until they load the new one.
func (r *routes) renewLocked(old *table) *table {
	slots := smallestTable
	for slots < 2*tableSpace*(int(r.known.Load())+1) {
		slots *= 2
	}
	t := newTable(slots)
	old.each(func(rt *route) { r.put(t, rt) })
	r.table.Store(t)
	return t
}

// deleteLocked takes a route out of the table.
func (r *routes) deleteLocked(rt *route) {
	slots := r.table.Load().slots
	for i := r.first(&rt.key); ; i++ {
		slot := &slots[i&uint64(len(slots)-1)]
		if at := slot.Load(); at == rt {
			slot.Store(removed)
			r.known.Add(-1)
			return
		} else if at == nil {
			return
		}
	}
}

func (t *table) each(f func(*route)) {
	for i := range t.slots {
		if rt := t.slots[i].Load(); rt != nil && rt != removed {
			f(rt)
		}
	}
}

// same compares two keys by words, at less than half the price of ==, which
// calls a function for 32 bytes. The brackets matter: in Go | and ^ bind equally.
func same(a, b *key.Public) bool {
	le := binary.LittleEndian
	return (le.Uint64(a[0:])^le.Uint64(b[0:]))|
		(le.Uint64(a[8:])^le.Uint64(b[8:]))|
		(le.Uint64(a[16:])^le.Uint64(b[16:]))|
		(le.Uint64(a[24:])^le.Uint64(b[24:])) == 0
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
	for slots := r.table.Load().slots; len(slots) > 0; {
		n := min(slotsAtOnce, len(slots))
		conns = conns[:0]
		r.mu.Lock()
		for i := range slots[:n] {
			if rt := slots[i].Load(); rt != nil {
				conns = append(conns, rt.conns...)
			}
		}
		r.mu.Unlock()
		slots = slots[n:]
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
