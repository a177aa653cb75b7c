package measure

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/home"
)

var (
	v4   = home.Families{IPv4: true}
	both = home.Families{IPv4: true, IPv6: true}
)

// thirty are regions 1 to 30, which answer in 5, 15, ... 295 ms.
func thirty(n *network) (regions []home.Region) {
	for id := 1; id <= 30; id++ {
		regions = append(regions, n.add(id, time.Duration(10*id-5)*ms))
	}
	return regions
}

func latencies(upTo int) map[int]time.Duration {
	want := make(map[int]time.Duration)
	for id := 1; id <= upTo; id++ {
		want[id] = time.Duration(10*id-5) * ms
	}
	return want
}

func TestThirtyRegions(t *testing.T) {
	for _, test := range []struct {
		name     string
		q        home.Questions
		over     time.Duration
		answered int // regions
		requests int
	}{
		// The third answers after 25 ms, and a full report waits twice as long for
		// more.
		{"full", home.Questions{Full: true, Have: v4}, 75 * ms, 7, 30},
		{"full, over both families", home.Questions{Full: true, Have: both}, 75 * ms, 7, 60},
		// The second and third try go to those that have not answered by then.
		{"patient", home.Questions{Full: true, AllRegions: true, Have: v4}, 295 * ms, 30, 30 + 20 + 10},
		{
			"incremental", home.Questions{Have: v4, Home: 20, Last: &home.Report{Latency: latencies(30), Latency4: latencies(30)}},
			50 * ms, 3, 4, // the nearest three and home; each is given a fifth more time than it took before the second try
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNetwork(t)
			test.q.Regions = thirty(n)
			got, took := measuring(t, n, n.config(), test.q)
			if took != test.over || !reflect.DeepEqual(got.Latency, latencies(test.answered)) {
				t.Errorf("%v after %v, want %d regions after %v", got.Latency, took, test.answered, test.over)
			}
			if n.requests != test.requests {
				t.Errorf("%d requests, want %d", n.requests, test.requests)
			}
			if !got.UDP || got.Public4 != me4 || got.MappingVaries != home.No || len(got.Failed) > 0 {
				t.Errorf("%+v %v", got.Report, got.Failed)
			}
			if test.q.Have.IPv6 && (got.Public6 != me6 || !reflect.DeepEqual(got.Latency6, got.Latency)) {
				t.Errorf("over IPv6 %v, we are %v", got.Latency6, got.Public6)
			}
		})
	}
}

func TestLostRequestsAreSentAgain(t *testing.T) {
	n := newNetwork(t)
	q := home.Questions{Full: true, Have: v4, Regions: []home.Region{n.add(1, 30*ms)}}
	n.place4(1).loses = 2
	got, took := measuring(t, n, n.config(), q)
	if got.Latency[1] != 30*ms || took != 230*ms || n.requests != 3 {
		t.Errorf("%v after %v and %d requests, want 30 ms after 230 ms and 3", got.Latency, took, n.requests)
	}
	n.place4(1).loses = 3
	if got, took = measuring(t, n, n.config(), q); got.UDP || len(got.Latency) > 0 || took != 3*time.Second || len(got.Failed) > 0 {
		t.Errorf("%+v %v after %v, want nothing after 3 s", got.Report, got.Failed, took)
	}
}

// What cannot be sent is not waited for longer than it takes to try three times.
func TestProbesThatCannotBeSent(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(n *network)
		took   time.Duration
		want   error // nil: over IPv4 it works
	}{
		{"no AAAA", func(n *network) { delete(n.names, "ip6 r1.example") }, 200 * ms, nil},
		{"an A for an AAAA", func(n *network) { n.names["ip6 r1.example"] = netip.MustParseAddr("::ffff:198.51.0.1") }, 200 * ms, nil},
		{"no socket for IPv6", func(n *network) { n.noSocket["udp6"] = errNoMore }, 200 * ms, nil},
		{"no route over IPv6", func(n *network) { n.place6(1).refuses = errNoRoute }, 200 * ms, nil},
		{"no name", func(n *network) { clear(n.names) }, 200 * ms, errNoName},
		{"no address", func(n *network) { n.names["ip4 r1.example"], n.names["ip6 r1.example"] = netip.Addr{}, netip.Addr{} }, 200 * ms, errNoAddress},
		{"no sockets", func(n *network) { n.noSocket["udp4"], n.noSocket["udp6"] = errNoMore, errNoRoute }, 200 * ms, errNoMore},
		{"no routes", func(n *network) { n.place4(1).refuses, n.place6(1).refuses = errNoRoute, errNoMore }, 200 * ms, errNoRoute},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNetwork(t)
			q := home.Questions{Full: true, Have: both, Regions: []home.Region{n.add(1, 30*ms)}}
			test.change(n)
			got, took := measuring(t, n, n.config(), q)
			if took != test.took || got.UDP != (test.want == nil) || !errors.Is(got.Failed[1], test.want) {
				t.Errorf("%+v, failed %v, after %v; want %v after %v", got.Report, got.Failed, took, test.want, test.took)
			}
		})
	}
}

// There is no reason to tell if a probe is still under way: then there was no
// answer.
func TestSilenceHasNoReason(t *testing.T) {
	n := newNetwork(t)
	q := home.Questions{Full: true, Have: both, Regions: []home.Region{n.add(1, 30*ms)}}
	n.place4(1).loses = 9
	n.place6(1).refuses = errNoRoute
	if got, took := measuring(t, n, n.config(), q); len(got.Failed) > 0 || took != 3*time.Second {
		t.Errorf("failed %v after %v, want no reason after 3 s", got.Failed, took)
	}
}

func TestNamesThatNobodyAnswersFor(t *testing.T) {
	n := newNetwork(t)
	q := home.Questions{Full: true, Have: both, Regions: []home.Region{n.add(1, 30*ms), n.add(2, 20*ms)}}
	n.hanging["r1.example"] = true
	got, took := measuring(t, n, n.config(), q)
	if want := map[int]time.Duration{2: 20 * ms}; took != 3*time.Second || !reflect.DeepEqual(got.Latency, want) {
		t.Errorf("%v after %v, want %v after 3 s", got.Latency, took, want)
	}
}

func TestLiteralHostNeedsNoLookup(t *testing.T) {
	n := newNetwork(t)
	n.places[netip.MustParseAddrPort("192.0.2.1:3479")] = &place{latency: 10 * ms, sees: me4}
	q := home.Questions{Full: true, Have: both, Regions: []home.Region{{ID: 1, Nodes: []home.Node{{HostName: "192.0.2.1", STUNPort: 3479}}}}}
	if got, took := measuring(t, n, n.config(), q); got.Latency4[1] != 10*ms || took != 200*ms {
		t.Errorf("%+v after %v", got.Report, took)
	}
}

func TestSocketThatCannotBeReadFrom(t *testing.T) {
	n := newNetwork(t)
	n.readFails = errNoRoute
	q := home.Questions{Full: true, Have: v4, Regions: []home.Region{n.add(1, 30*ms)}}
	if got, took := measuring(t, n, n.config(), q); got.UDP || took != 3*time.Second {
		t.Errorf("%+v after %v, want nothing after 3 s", got.Report, took)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		n := newNetwork(t)
		q := home.Questions{Full: true, Have: both, Regions: []home.Region{n.add(1, 30*ms), n.add(2, 300*ms)}}
		n.hanging["r2.example"] = hangs
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*ms)
			defer cancel()
			start := time.Now()
			got := Run(ctx, n.config(), q)
			if took := time.Since(start); took != 50*ms || !got.UDP || got.Latency[1] != 30*ms {
				t.Errorf("%+v after %v, want region 1 after 50 ms", got.Report, took)
			}
			cancel()
			if got = Run(ctx, n.config(), q); got.UDP || time.Since(start) != 50*ms {
				t.Errorf("%+v, want nothing at once", got.Report)
			}
		})
		if n.sockets != n.closed {
			t.Errorf("%d of %d sockets are still open", n.sockets-n.closed, n.sockets)
		}
	}
}

func TestNothingToMeasure(t *testing.T) {
	n := newNetwork(t)
	never := n.add(1, 30*ms)
	never.NoMeasureNoHome = true
	for _, regions := range [][]home.Region{nil, {never}, {{ID: 2}}, {{ID: -1, Nodes: never.Nodes}}} {
		got, took := measuring(t, n, n.config(), home.Questions{Full: true, Have: both, Regions: regions})
		if took != 0 || got.UDP || len(got.Latency) > 0 || n.requests > 0 {
			t.Errorf("%+v after %v and %d requests, want nothing", got.Report, took, n.requests)
		}
	}
}

// A map may be large.
func TestThousandsOfRegions(t *testing.T) {
	n := newNetwork(t)
	q := home.Questions{Full: true, AllRegions: true, Have: both}
	for id := range 3000 {
		q.Regions = append(q.Regions, n.add(id+1, 20*ms))
	}
	if got, took := measuring(t, n, n.config(), q); took != 20*ms || len(got.Latency) != 3000 || n.sockets != 2 {
		t.Errorf("%d regions after %v over %d sockets", len(got.Latency), took, n.sockets)
	}
}
