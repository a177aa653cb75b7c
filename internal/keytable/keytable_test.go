package keytable

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/detour-relay/detour/key"
)

// An entry is the least that a table can hold.
type entry struct{ key key.Public }

var gone = new(entry)

func newTable() *Table[entry] {
	return New(func(e *entry) *key.Public { return &e.key }, gone)
}

// find is the lookup of the package's documentation.
func find(t *Table[entry], k *key.Public) *entry {
	for slots, i := t.Probe(k); ; i++ {
		if e := slots.At(i); e == nil || Same(&e.key, k) && e != gone {
			return e
		}
	}
}

func numbered(n int) (k key.Public) {
	binary.LittleEndian.PutUint64(k[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.LittleEndian.PutUint64(k[8:], uint64(n))
	return k
}

func TestTableIsAMap(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 2))
		table, model := newTable(), map[key.Public]*entry{}
		keys := 1 << (4 + seed)
		for range 20_000 {
			k := numbered(random.IntN(keys)) // 0 has the key of what marks a removed slot
			if got := find(table, &k); got != model[k] {
				t.Fatalf("lookup of %v: %p, want %p", k, got, model[k])
			}
			switch known := model[k]; {
			case known == nil && random.IntN(3) > 0:
				model[k] = &entry{key: k}
				table.Insert(model[k])
			case known != nil && random.IntN(3) == 0:
				table.Delete(known)
				table.Delete(known) // again has no effect
				delete(model, k)
			}
		}
		checkTable(t, table, model)
		for k, e := range model {
			table.Delete(e)
			delete(model, k)
		}
		checkTable(t, table, model)
	}
}

// checkTable wants every entry of the model in the table once, and no other, whether
// it is visited at once or in steps.
func checkTable(t *testing.T, table *Table[entry], model map[key.Public]*entry) {
	t.Helper()
	for _, visit := range []func(func(*entry)){table.Each, func(f func(*entry)) {
		for w := table.Walk(); w.Left(); {
			w.Step(100, f)
		}
	}} {
		seen := map[*entry]bool{}
		visit(func(e *entry) {
			if seen[e] || model[e.key] != e {
				t.Errorf("%v is in the table twice or wrongly", e.key)
			}
			seen[e] = true
		})
		if len(seen) != len(model) || table.Len() != len(model) {
			t.Errorf("%d entries in the table, %d counted, want %d", len(seen), table.Len(), len(model))
		}
	}
}

// Probes stay short however many keys there are, and however many have left.
func TestTableGrows(t *testing.T) {
	table := newTable()
	var kept []*entry
	for n := range 20_000 {
		e := &entry{key: numbered(n)}
		table.Insert(e)
		if kept = append(kept, e); n%2 == 1 {
			table.Delete(kept[0])
			kept = kept[1:]
		}
	}
	all, longest := 0, 0
	for _, e := range kept {
		probes := 1
		for slots, i := table.Probe(&e.key); slots.At(i) != e; i++ {
			probes++
		}
		all += probes
		longest = max(longest, probes)
	}
	// The seed is random: the longest probe is rarely above 30, the mean never near 3.
	if n := len(*table.slots.Load()); n < space*len(kept) || all > 3*len(kept) || longest > 200 {
		t.Errorf("%d slots for %d keys, %d probes in all, the longest is %d", n, len(kept), all, longest)
	}
}

// Readers always find what stays, never what was not there, and what comes and
// goes only as itself, while the table changes and grows.
func TestLookupDuringChanges(t *testing.T) {
	table := newTable()
	const stays, comes = 100, 3000
	var staying [stays]*entry
	for n := range staying {
		staying[n] = &entry{key: numbered(n)}
		table.Insert(staying[n])
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
				e := find(table, &k)
				switch {
				case n < stays && e != staying[n]:
					t.Errorf("key %d is not found", n)
					return
				case n >= stays+comes && e != nil:
					t.Errorf("key %d is found, but never was there", n)
					return
				case e != nil && e.key != k:
					t.Errorf("key %d leads to another", n)
					return
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(9, 9))
	var coming [comes]*entry
	for range 20_000 {
		n := random.IntN(comes)
		if e := coming[n]; e != nil {
			table.Delete(e)
			coming[n] = nil
		} else {
			coming[n] = &entry{key: numbered(stays + n)}
			table.Insert(coming[n])
		}
		if random.IntN(1000) == 0 {
			runtime.Gosched()
		}
	}
	stop.Store(true)
	readers.Wait()
}

// A lookup of a relay is a walk of a few slots, in the registers of who looks.
func TestLookupAllocatesNothing(t *testing.T) {
	table := newTable()
	for n := range 1000 {
		table.Insert(&entry{key: numbered(n)})
	}
	n := 0
	if allocs := testing.AllocsPerRun(1000, func() {
		k := numbered(n)
		if find(table, &k) == nil {
			t.Error("not found")
		}
		n = (n + 1) % 1000
	}); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}
