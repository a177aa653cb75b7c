package relay

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/detour-relay/detour/key"
)

func newRoutes() *routes {
	r := new(routes)
	r.init(new(counters))
	return r
}

func (r *routes) insert(rt *route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.insertLocked(rt)
}

func (r *routes) delete(rt *route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deleteLocked(rt)
}

func TestRoutesAgainstMap(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 2))
		r, model := newRoutes(), map[key.Public]*route{}
		keys := 1 << (4 + seed)
		for range 20_000 {
			k := numbered(random.IntN(keys))
			if got := r.lookup(&k); got != model[k] {
				t.Fatalf("lookup of %v: %p, want %p", k, got, model[k])
			}
			switch known := model[k]; {
			case known == nil && random.IntN(3) > 0:
				model[k] = &route{key: k}
				r.insert(model[k])
			case known != nil && random.IntN(3) == 0:
				r.delete(known)
				r.delete(known) // again has no effect
				delete(model, k)
			}
		}
		checkTable(t, r, model)
		for k, rt := range model {
			r.delete(rt)
			delete(model, k)
		}
		checkTable(t, r, model)
	}
}

// checkTable wants every route of the model in the table once, and no other.
func checkTable(t *testing.T, r *routes, model map[key.Public]*route) {
	t.Helper()
	seen := map[*route]bool{}
	r.table.Load().each(func(rt *route) {
		if seen[rt] || model[rt.key] != rt {
			t.Errorf("route %v is in the table twice or wrongly", rt.key)
		}
		seen[rt] = true
	})
	if len(seen) != len(model) || r.known.Load() != int64(len(model)) {
		t.Errorf("%d routes in the table, %d counted, want %d", len(seen), r.known.Load(), len(model))
	}
}

// Probes stay short however many keys there are, and however many have left.
func TestRoutesTableGrows(t *testing.T) {
	r := newRoutes()
	var kept []*route
	for n := range 20_000 {
		rt := &route{key: numbered(n)}
		r.insert(rt)
		if kept = append(kept, rt); n%2 == 1 {
			r.delete(kept[0])
			kept = kept[1:]
		}
	}
	all, longest, slots := 0, 0, r.table.Load().slots
	for _, rt := range kept {
		probes := 1
		for i := r.first(&rt.key); slots[i&uint64(len(slots)-1)].Load() != rt; i++ {
			probes++
		}
		all += probes
		longest = max(longest, probes)
	}
	// The seed is random: the longest probe is rarely above 30, the mean never near 3.
	if len(slots) < tableSpace*len(kept) || all > 3*len(kept) || longest > 200 {
		t.Errorf("%d slots for %d keys, %d probes in all, the longest is %d", len(slots), len(kept), all, longest)
	}
}

// What a lookup reads of a route lies in one cache line.
func TestRouteIsAligned(t *testing.T) {
	if size := unsafe.Sizeof(route{}); size != 128 {
		t.Errorf("a route has %d bytes, want 128", size)
	}
}

// Readers always find what stays, never what was not there, and what comes and
// goes only as itself, while the table changes and grows.
func TestLookupDuringChanges(t *testing.T) {
	r := newRoutes()
	const stays, comes = 100, 3000
	var staying [stays]*route
	for n := range staying {
		staying[n] = &route{key: numbered(n)}
		r.insert(staying[n])
	}
	var stop atomic.Bool
	var readers sync.WaitGroup
	for id := range 2 {
		random := rand.New(rand.NewPCG(uint64(id), 3))
		readers.Go(func() {
			for turn := 0; !stop.Load(); turn++ {
				if turn%100 == 0 {
					runtime.Gosched()
				}
				n := random.IntN(stays + 2*comes)
				k := numbered(n)
				rt := r.lookup(&k)
				switch {
				case n < stays && rt != staying[n]:
					t.Errorf("key %d is not found", n)
					return
				case n >= stays+comes && rt != nil:
					t.Errorf("key %d is found, but never was there", n)
					return
				case rt != nil && rt.key != k:
					t.Errorf("key %d leads to another", n)
					return
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(9, 9))
	var coming [comes]*route
	for range 20_000 {
		n := random.IntN(comes)
		if rt := coming[n]; rt != nil {
			r.delete(rt)
			coming[n] = nil
		} else {
			coming[n] = &route{key: numbered(stays + n)}
			r.insert(coming[n])
		}
		if random.IntN(1000) == 0 {
			runtime.Gosched()
		}
	}
	stop.Store(true)
	readers.Wait()
}
