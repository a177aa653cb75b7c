package relay

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/detour-relay/detour/key"
)

// A route is where packets for a key go now. It exists as long as the key has a
// conn; a key that comes back gets a new one.
type route struct {
	key    key.Public
	active atomic.Pointer[outbox] // nil: no conn is active, or the key has left

	conns    []*conn  // guarded by routes.mu: all conns of the key, oldest first
	contest  *contest // guarded by routes.mu: while there are several (duplicates.go)
	audience audience // gone.go: who is told when the key leaves
}

// routes knows the route of every key. lookup takes no lock; everything that
// changes takes mu, the registration mutex.
type routes struct {
	seed  maphash.Seed          // set once
	count *counters             // set once
	table atomic.Pointer[table] // replaced when it grows

	mu       sync.Mutex
	known    int                // guarded by mu: keys in table
	watchers map[*conn]struct{} // guarded by mu (presence.go)
}

// A table is a hash table of fixed size with chains. Readers follow the chains
// without a lock: an entry's key never changes, and a removed entry still leads
// to the rest of its chain.
type table struct {
	chains []atomic.Pointer[entry] // a power of two
}

type entry struct {
	route *route
	next  atomic.Pointer[entry]
}

const smallestTable = 64

func newTable(chains int) *table { return &table{chains: make([]atomic.Pointer[entry], chains)} }

func (r *routes) init(count *counters) {
	r.seed = maphash.MakeSeed()
	r.count = count
	r.watchers = make(map[*conn]struct{})
	r.table.Store(newTable(smallestTable))
}

// chain returns where the entry of k is, if there is one. The seed keeps peers
// from choosing keys that collide.
func (r *routes) chain(t *table, k *key.Public) *atomic.Pointer[entry] {
	return &t.chains[maphash.Bytes(r.seed, k[:])&uint64(len(t.chains)-1)]
}

// lookup returns the route of k, or nil if k has no conn.
func (r *routes) lookup(k *key.Public) *route {
	for e := r.chain(r.table.Load(), k).Load(); e != nil; e = e.next.Load() {
		if e.route.key == *k {
			return e.route
		}
	}
	return nil
}

// insertLocked adds a route whose key is not in the table.
func (r *routes) insertLocked(rt *route) {
	t := r.table.Load()
	if r.known >= len(t.chains) {
		t = r.growLocked(t)
	}
	r.known++
	r.link(t, rt)
}

func (r *routes) link(t *table, rt *route) {
	head := r.chain(t, &rt.key)
	e := &entry{route: rt}
	e.next.Store(head.Load())
	head.Store(e)
}

// growLocked moves the routes to a table of twice the size. Readers of the old
// one find what they look for until they load the new one.
func (r *routes) growLocked(old *table) *table {
	t := newTable(2 * len(old.chains))
	old.each(func(rt *route) { r.link(t, rt) })
	r.table.Store(t)
	return t
}

// deleteLocked takes a route out of the table.
func (r *routes) deleteLocked(rt *route) {
	for at := r.chain(r.table.Load(), &rt.key); at.Load() != nil; at = &at.Load().next {
		if e := at.Load(); e.route == rt {
			at.Store(e.next.Load())
			r.known--
			return
		}
	}
}

func (t *table) each(f func(*route)) {
	for i := range t.chains {
		for e := t.chains[i].Load(); e != nil; e = e.next.Load() {
			f(e.route)
		}
	}
}

// each calls f for every conn, without holding mu.
func (r *routes) each(f func(*conn)) {
	var all []*conn
	r.mu.Lock()
	r.table.Load().each(func(rt *route) { all = append(all, rt.conns...) })
	r.mu.Unlock()
	for _, c := range all {
		f(c)
	}
}

// sizes returns how many keys have conns and how many siblings watch.
func (r *routes) sizes() (peers, watchers int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int64(r.known), int64(len(r.watchers))
}
