package tally

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
)

// Groups are held against a plain map, under everything that can happen to them.
func TestGroupsAreAMapOfCounts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var gs Groups
	model := map[string]*State{}
	var members []*Group
	for step := range 5000 {
		switch random.IntN(3) {
		case 0:
			name := fmt.Sprint(random.IntN(10))
			if random.IntN(10) == 0 {
				name = ""
			}
			g := gs.Join(name)
			if g.Name() != name || (g == nil) != (name == "") {
				t.Fatalf("joined %q instead of %q", g.Name(), name)
			}
			members = append(members, g)
			if name != "" {
				if model[name] == nil {
					model[name] = &State{Name: name}
				}
				model[name].Members++
			}
		case 1:
			if len(members) > 0 {
				n := random.IntN(len(members))
				gs.Leave(members[n])
				name := members[n].Name()
				members = slices.Delete(members, n, n+1)
				if s := model[name]; s != nil {
					if s.Members--; s.Members == 0 {
						delete(model, name)
					}
				}
			}
		case 2:
			if len(members) > 0 {
				g := members[random.IntN(len(members))]
				packets, bytes := random.IntN(100), random.IntN(100_000)
				g.Received(random.Uint64(), packets, bytes)
				if s := model[g.Name()]; s != nil {
					s.Packets += uint64(packets)
					s.Bytes += uint64(bytes)
				}
			}
		}
		want := []State{}
		for _, name := range slices.Sorted(maps.Keys(model)) {
			want = append(want, *model[name])
		}
		if got := gs.States(); !reflect.DeepEqual(got, want) {
			t.Fatalf("step %d: %+v, want %+v", step, got, want)
		}
	}
}

// Nothing is lost when all come, count and leave at once, and nothing is left.
func TestGroupsAtOnce(t *testing.T) {
	const members, each = 8, 1000
	var gs Groups
	first := gs.Join("a")
	var all sync.WaitGroup
	for who := range uint64(members) {
		all.Go(func() {
			for range each {
				g := gs.Join("a")
				g.Received(who, 1, 10)
				gs.Leave(g)
				gs.States()
			}
		})
	}
	all.Wait()
	want := []State{{Name: "a", Members: 1, Packets: members * each, Bytes: 10 * members * each}}
	if got := gs.States(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	gs.Leave(first)
	if got := gs.States(); len(got) > 0 {
		t.Errorf("%+v are left", got)
	}
}
