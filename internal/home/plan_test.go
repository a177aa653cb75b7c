package home

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

var both = Families{IPv4: true, IPv6: true}

// plain returns a region with nodes that have no addresses of their own in the map.
func plain(id, nodes int) Region {
	r := Region{ID: id}
	for i := range nodes {
		r.Nodes = append(r.Nodes, Node{HostName: fmt.Sprintf("%d%c.example", id, 'a'+i)})
	}
	return r
}

func one(id int, n Node) Region { return Region{ID: id, Nodes: []Node{n}} }

func latencies(of ...int) map[int]time.Duration {
	m := make(map[int]time.Duration)
	for i := 0; i < len(of); i += 2 {
		m[of[i]] = time.Duration(of[i+1]) * ms
	}
	return m
}

// short writes a plan as one line of region, node, family and milliseconds:
// "900a/4@100".
func short(plan []Probe) string {
	var words []string
	for _, p := range plan {
		words = append(words, fmt.Sprintf("%d%c/%d@%d", p.Region, 'a'+p.Node, p.Family, p.Delay.Milliseconds()))
	}
	return strings.Join(words, " ")
}

func TestPlan(t *testing.T) {
	three := func(v6 bool) *Report {
		r := &Report{Latency: latencies(1, 10, 2, 20, 3, 30, 4, 40, 5, 50), Latency4: latencies(1, 10)}
		if v6 {
			r.Latency6 = latencies(1, 10)
		}
		return r
	}
	five := []Region{plain(5, 1), plain(4, 1), plain(3, 1), plain(2, 1), plain(1, 1)}
	avoided := plain(1, 1)
	avoided.Avoid = true
	never := plain(2, 1)
	never.NoMeasureNoHome = true

	for _, test := range []struct {
		name string
		q    Questions
		want string
	}{
		{"full: three tries over both families", Questions{Full: true, Regions: []Region{plain(900, 1)}, Have: both},
			"900a/4@0 900a/6@0 900a/4@100 900a/6@100 900a/4@200 900a/6@200"},
		{"full: the tries go through the nodes", Questions{Full: true, Regions: []Region{plain(900, 2)}, Have: Families{IPv4: true}},
			"900a/4@0 900b/4@100 900a/4@200"},
		{"full: more nodes than tries", Questions{Full: true, Regions: []Region{plain(900, 4)}, Have: Families{IPv6: true}},
			"900a/6@0 900b/6@100 900c/6@200"},
		{"full: regions in the order given, later tries later", Questions{Full: true, Regions: []Region{plain(2, 1), plain(1, 1)}, Have: Families{IPv4: true}},
			"2a/4@0 1a/4@0 2a/4@100 1a/4@100 2a/4@200 1a/4@200"},
		{"full: to avoid is measured, never to measure is not, nor is nothing or nobody",
			Questions{Full: true, Regions: []Region{avoided, never, plain(3, 0), plain(0, 1), plain(-4, 1)}, Have: Families{IPv4: true}},
			"1a/4@0 1a/4@100 1a/4@200"},
		{"full: no families", Questions{Full: true, Regions: five}, ""},
		{"full whatever was measured before", Questions{Full: true, Regions: []Region{plain(1, 1)}, Last: three(true), Home: 1, Have: Families{IPv4: true}},
			"1a/4@0 1a/4@100 1a/4@200"},
		{"incremental without history", Questions{Regions: []Region{plain(1, 1)}, Have: Families{IPv4: true}},
			"1a/4@0 1a/4@100 1a/4@200"},
		{"incremental after an empty report", Questions{Regions: []Region{plain(1, 1)}, Last: &Report{Latency: map[int]time.Duration{1: -1}}, Have: Families{IPv4: true}},
			"1a/4@0 1a/4@100 1a/4@200"},

		{"one family none", Questions{Full: true, Regions: []Region{one(1, Node{HostName: "a", IPv4: "none"})}, Have: both},
			"1a/6@0 1a/6@100 1a/6@200"},
		{"the other is not an address", Questions{Full: true, Regions: []Region{one(1, Node{HostName: "a", IPv4: "192.0.2.1", IPv6: "hello"})}, Have: both},
			"1a/4@0 1a/4@100 1a/4@200"},
		{"addresses in the wrong fields", Questions{Full: true, Regions: []Region{one(1, Node{HostName: "a", IPv4: "2001:db8::1", IPv6: "::ffff:192.0.2.1"})}, Have: both},
			""},
		{"a node without STUN is passed over", Questions{Full: true, Regions: []Region{{ID: 1, Nodes: []Node{{HostName: "a", STUNPort: -1}, {HostName: "b"}}}}, Have: Families{IPv4: true}},
			"1b/4@100"},
		{"a port that is none, a node without a name", Questions{Full: true, Regions: []Region{{ID: 1, Nodes: []Node{{HostName: "a", STUNPort: 65536}, {}}}}, Have: both},
			""},
		{"STUN only is measured", Questions{Full: true, Regions: []Region{one(1, Node{HostName: "a", STUNOnly: true})}, Have: Families{IPv4: true}},
			"1a/4@0 1a/4@100 1a/4@200"},
		{"a test address: whatever interfaces there are, where the family fits", Questions{Full: true, Regions: []Region{one(1, Node{HostName: "a", STUNTestIP: "127.0.0.9"})}},
			"1a/4@0 1a/4@100 1a/4@200"},
		{"a node on loopback: likewise", Questions{Full: true, Regions: []Region{one(1, Node{HostName: "a", IPv4: "127.0.0.1", IPv6: "::1"})}},
			"1a/4@0 1a/6@0 1a/4@100 1a/6@100 1a/4@200 1a/6@200"},
		{"a test node may have one family only", Questions{Full: true, Regions: []Region{one(1, Node{HostName: "a", IPv4: "127.0.0.1", IPv6: "none"})}},
			"1a/4@0 1a/4@100 1a/4@200"},

		{"incremental: home is the fastest", Questions{Regions: five, Last: three(false), Home: 1, Have: Families{IPv4: true}},
			"1a/4@0 2a/4@0 3a/4@0 1a/4@12 2a/4@24 1a/4@124 1a/4@186"},
		{"incremental: home is the third", Questions{Regions: five, Last: three(false), Home: 3, Have: Families{IPv4: true}},
			"1a/4@0 2a/4@0 3a/4@0 1a/4@12 2a/4@24 3a/4@36 3a/4@172 3a/4@258"},
		{"incremental: home is slower: three and home", Questions{Regions: five, Last: three(false), Home: 5, Have: Families{IPv4: true}},
			"1a/4@0 2a/4@0 3a/4@0 5a/4@0 1a/4@12 2a/4@24 5a/4@60 5a/4@220 5a/4@330"},
		{"incremental: no home", Questions{Regions: five, Last: three(false), Have: Families{IPv4: true}},
			"1a/4@0 2a/4@0 3a/4@0 1a/4@12 2a/4@24"},
		{"incremental: home has left the map", Questions{Regions: five, Last: three(false), Home: 9, Have: Families{IPv4: true}},
			"1a/4@0 2a/4@0 3a/4@0 1a/4@12 2a/4@24"},
		{"incremental: unknown ones last, 200 ms apart", Questions{Regions: []Region{plain(7, 1), plain(8, 2), plain(2, 1)}, Last: three(false), Home: 8, Have: Families{IPv4: true}},
			"2a/4@0 7a/4@0 8a/4@0 2a/4@24 7a/4@200 8b/4@200 8a/4@500 8b/4@750"},
		{"incremental: both families seen: the third is asked over IPv4", Questions{Regions: five, Last: three(true), Home: 1, Have: both},
			"1a/4@0 1a/6@0 2a/4@0 2a/6@0 3a/4@0 1a/4@12 1a/6@12 2a/4@24 2a/6@24 1a/4@124 1a/6@124 1a/4@186 1a/6@186"},
		{"incremental: home is asked over both, wherever it is", Questions{Regions: five[:3], Last: three(true), Home: 5, Have: both},
			"3a/4@0 3a/6@0 4a/4@0 4a/6@0 5a/4@0 5a/6@0 3a/4@36 3a/6@36 4a/4@48 4a/6@48 5a/4@60 5a/6@60 5a/4@220 5a/6@220 5a/4@330 5a/6@330"},
		{"incremental: both seen, IPv4 gone since", Questions{Regions: five, Last: three(true), Home: 1, Have: Families{IPv6: true}},
			"1a/6@0 2a/6@0 3a/6@0 1a/6@12 2a/6@24 1a/6@124 1a/6@186"},
		{"incremental: no IPv6 seen: one try of it for home and the two fastest", Questions{Regions: five, Last: three(false), Home: 4, Have: both},
			"1a/4@0 1a/6@0 2a/4@0 2a/6@0 3a/4@0 4a/4@0 4a/6@0 1a/4@12 2a/4@24 4a/4@48 4a/4@196 4a/4@294"},
		{"incremental: to avoid is left out", Questions{Regions: []Region{avoided, plain(2, 1)}, Last: three(false), Home: 2, Have: Families{IPv4: true}},
			"2a/4@0 2a/4@24 2a/4@148 2a/4@222"},
		{"incremental: times that cannot be", Questions{Regions: []Region{plain(1, 1)}, Last: &Report{Latency: map[int]time.Duration{1: math.MaxInt64}}, Home: 1, Have: Families{IPv4: true}},
			"1a/4@0 1a/4@6000 1a/4@12100 1a/4@18150"},
		{"incremental: unless it is home", Questions{Regions: []Region{avoided, plain(2, 1)}, Last: three(false), Home: 1, Have: Families{IPv4: true}},
			"1a/4@0 2a/4@0 1a/4@12 2a/4@24 1a/4@124 1a/4@186"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := short(Plan(test.q)); got != test.want {
				t.Errorf("plan\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	for _, test := range []struct {
		name string
		n    Node
		f    Family
		want string
	}{
		{"name", Node{HostName: "a.example"}, IPv4, "{invalid IP a.example 3478}"},
		{"port", Node{HostName: "a.example", STUNPort: 53}, IPv6, "{invalid IP a.example 53}"},
		{"address", Node{HostName: "a.example", IPv4: "192.0.2.1", IPv6: "2001:db8::1"}, IPv6, "{2001:db8::1 a.example 3478}"},
		{"test address before address", Node{HostName: "a.example", IPv4: "192.0.2.1", STUNTestIP: "127.0.0.2"}, IPv4, "{127.0.0.2 a.example 3478}"},
		{"address without a name", Node{IPv4: "192.0.2.1"}, IPv4, "{192.0.2.1  3478}"},
	} {
		if got, ok := test.n.target(test.f); !ok || fmt.Sprint(got) != test.want {
			t.Errorf("%s: target %v, %v, want %s", test.name, got, ok, test.want)
		}
	}
}
