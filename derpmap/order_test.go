package derpmap

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"os"
	"slices"
	"strings"
	"testing"
)

// The test of docs/node-order.md: what becomes of a region when one of its nodes
// fails.

const tailnets = 100_000

// way is a way to order n nodes for each of the tailnets: preferences[i] are the
// nodes of tailnet i, best first.
type way struct {
	name        string
	preferences func(n int) [][]uint8
}

var (
	rendezvous = way{"rendezvous", func(n int) [][]uint8 {
		nodes := make([]*Node, n)
		index := make(map[string]uint8, n)
		for i := range nodes {
			name := fmt.Sprintf("900%c", 'a'+i)
			nodes[i], index[name] = &Node{Name: name}, uint8(i)
		}
		all := make([][]uint8, tailnets)
		for i := range all {
			for _, node := range Order(fmt.Sprintf("tailnet%05d.example.com", i), nodes) {
				all[i] = append(all[i], index[node.Name])
			}
		}
		return all
	}}

	// abc, bca, cab: each node is first for its share, and behind it stands always
	// the same one.
	rotated = way{"rotated", func(n int) [][]uint8 {
		all := make([][]uint8, tailnets)
		for i := range all {
			for j := range n {
				all[i] = append(all[i], uint8((i+j)%n))
			}
		}
		return all
	}}
)

// simulation tells the load of its nodes, in tailnets, whichever of them are down.
type simulation struct {
	n           int
	preferences [][]uint8
	loads       map[uint16][]int // by the set of nodes that are down
}

func simulate(w way, n int) *simulation {
	return &simulation{n: n, preferences: w.preferences(n), loads: make(map[uint16][]int)}
}

func (s *simulation) load(down uint16) []int {
	if load, ok := s.loads[down]; ok {
		return load
	}
	load := make([]int, s.n)
	for _, nodes := range s.preferences {
		for _, node := range nodes {
			if down&(1<<node) == 0 {
				load[node]++
				break
			}
		}
	}
	s.loads[down] = load
	return load
}

// spread returns max / mean of the load on the nodes that are up, for the worst
// node to fail; with no failure, of all nodes.
func (s *simulation) spread(failures bool) float64 {
	if !failures {
		return float64(slices.Max(s.load(0))) / (tailnets / float64(s.n))
	}
	worst := 0.0
	for first := range s.n {
		worst = max(worst, float64(slices.Max(s.load(1<<first)))/(tailnets/float64(s.n-1)))
	}
	return worst
}

// fallen returns how many nodes are down in the end if, of nodes that each carry
// tailnets / (n * utilisation) at most, first fails, and then whichever are
// overloaded, until none is.
func (s *simulation) fallen(first int, utilisation float64) int {
	capacity := tailnets / (float64(s.n) * utilisation)
	down := uint16(1) << first
	for {
		before := down
		for node, load := range s.load(down) {
			if float64(load) > capacity {
				down |= 1 << node
			}
		}
		if down == before {
			return bits.OnesCount16(down)
		}
	}
}

// cascadesFrom returns the lowest utilisation, in steps of 0.1 %, at which the
// failure of some node leaves at least that many nodes down.
func (s *simulation) cascadesFrom(nodes int) float64 {
	for permille := 1; permille <= 1000; permille++ {
		for first := range s.n {
			if s.fallen(first, float64(permille)/1000) >= nodes {
				return float64(permille) / 1000
			}
		}
	}
	return math.Inf(1)
}

func TestNodeOrderSpreadsTheLoadOfAFailedNode(t *testing.T) {
	var table strings.Builder
	fmt.Fprintln(&table, "| nodes | max / mean, none down, rendezvous | max / mean after one failure, rotated | rendezvous "+
		"| a second node fails from, rotated | rendezvous | the whole region fails from, rotated | rendezvous |")
	fmt.Fprintln(&table, "|---|---|---|---|---|---|---|---|")
	for n := 3; n <= 10; n++ {
		byHand, hashed := simulate(rotated, n), simulate(rendezvous, n)
		if spread := hashed.spread(true); spread > 1.03 {
			t.Errorf("%d nodes: after one failure max / mean is %.4f", n, spread)
		}
		if a, b := byHand.cascadesFrom(2), hashed.cascadesFrom(2); a >= b {
			t.Errorf("%d nodes: a second one fails from %.3f by hand, %.3f by rendezvous hashing", n, a, b)
		}
		fmt.Fprintf(&table, "| %d | %.3f | %.3f | %.3f | %.1f %% | %.1f %% | %.1f %% | %.1f %% |\n", n, hashed.spread(false),
			byHand.spread(true), hashed.spread(true), 100*byHand.cascadesFrom(2), 100*hashed.cascadesFrom(2),
			100*byHand.cascadesFrom(n), 100*hashed.cascadesFrom(n))
	}
	figures(t, table.String())
}

// figures compares the table with that of the report, or replaces it.
func figures(t *testing.T, table string) {
	t.Helper()
	const name, begin, end = "../docs/node-order.md", "<!-- figures: written by go test ./derpmap -update from here -->\n\n", "\n<!-- to here -->\n"
	report, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := bytes.Cut(report, []byte(begin))
	old, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok1 || !ok2 {
		t.Fatalf("%s: no place for the figures", name)
	}
	if *update {
		text := slices.Concat(before, []byte(begin+table+end), after)
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(old) != table {
		t.Errorf("%s has other figures (go test -update writes them):\n%s", name, table)
	}
}

func TestOrder(t *testing.T) {
	nodes := []*Node{{Name: "s1", STUNOnly: true}, {Name: "a"}, {Name: "b"}, {Name: "s0", STUNOnly: true}, {Name: "c"}, {Name: "a"}}
	before := slices.Clone(nodes)
	order := Order("example.com", nodes)
	if !slices.Equal(nodes, before) {
		t.Error("the nodes that it was given changed places")
	}
	if len(order) != 6 || order[4].Name != "s1" || order[5].Name != "s0" {
		t.Errorf("STUN-only nodes are not last: %v", order)
	}
	if !slices.IsSortedFunc(order[:4], func(a, b *Node) int {
		return cmp.Compare(Score("example.com", b.Name), Score("example.com", a.Name))
	}) {
		t.Error("not by score")
	}
	slices.Reverse(nodes)
	again := Order("example.com", nodes)
	for i := range 4 {
		if order[i].Name != again[i].Name {
			t.Error("it depends on the order before")
		}
	}
}

func TestForTailnetLeavesTheMapAlone(t *testing.T) {
	m := load(t, `{"Regions":{"7":null,"8":{"Nodes":null},"900":{"Nodes":[{"Name":"900a"},{"Name":"900b"},{"Name":"900c"}]}}}`)
	c := m.ForTailnet("example.com")
	if got := c.Regions[900].Nodes[0].Name; got != "900b" {
		t.Errorf("%s is first", got)
	}
	if m.Regions[900].Nodes[0].Name != "900a" || c.Regions[8].Nodes != nil {
		t.Error("more changed than the order of the copy")
	}
}
