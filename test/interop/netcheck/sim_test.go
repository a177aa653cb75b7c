package netcheck

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"

	"github.com/detour-relay/detour/test/interop/mapnode"
)

// firstPort is the STUN port of region 0: the port of a request says which region it is for, because the nodes of all regions
// have the address that makes both codes take them for nodes of a test, which are measured whatever interfaces a host has.
const (
	firstPort = 4000
	nodeAddr  = "127.0.0.1"
	nodeAddr6 = "2001:db8::1"
)

// A step is one report: what the network is like during it, and what the home must be after it.
type step struct {
	at     time.Duration         // when it begins, from the beginning of the first
	away   map[int]time.Duration // how long regions need to answer; those that are missing never do
	away6  map[int]time.Duration // the same over IPv6
	heard  map[int]time.Duration // when regions were heard by another way than STUN, from the beginning of this report
	scores map[int]float64
	forced int  // this region is to be home if it is alive
	full   bool // the network has changed, so everything is measured

	home int
}

// A side is one implementation, which remembers its earlier reports.
type side interface {
	report(ctx context.Context, dm *tailcfg.DERPMap, s step, began time.Time, network *network) result
}

// A result is what a side made of a step.
type result struct {
	home    int
	latency map[int]time.Duration
	asked   []string      // what was sent when
	took    time.Duration // the whole report
}

// simulation has both sides make the same reports. It runs in a bubble of testing/synctest.
type simulation struct {
	regions map[int]*tailcfg.DERPRegion
	begun   time.Time
	theirs  side
	ours    side
}

// newSimulation has regions 1 to n.
func newSimulation(n int, monitor *netmon.Monitor) *simulation {
	s := &simulation{regions: map[int]*tailcfg.DERPRegion{}, begun: time.Now(), theirs: newTheirs(monitor), ours: new(ours)}
	for id := 1; id <= n; id++ {
		s.regions[id] = &tailcfg.DERPRegion{RegionID: tailcfg.DERPRegionID(id), RegionCode: fmt.Sprintf("r%d", id), Nodes: []*tailcfg.DERPNode{{
			Name: fmt.Sprintf("%da", id), RegionID: tailcfg.DERPRegionID(id), HostName: "relay.invalid", IPv4: nodeAddr, IPv6: "none", STUNPort: firstPort + id,
		}}}
	}
	return s
}

// run makes the report of a step on both sides at once.
func (s *simulation) run(t *testing.T, step step) (theirs, ours result) {
	time.Sleep(time.Until(s.begun.Add(step.at)))
	dm := &tailcfg.DERPMap{Regions: mapnode.Regions(s.regions), HomeParams: &tailcfg.DERPHomeParams{RegionScore: mapnode.Regions(step.scores)}}
	began := time.Now()
	var both sync.WaitGroup
	measure := func(side side, into *result) {
		both.Go(func() {
			network := &network{away: step.away, away6: step.away6, began: began}
			*into = side.report(t.Context(), dm, step, began, network)
			into.took, into.asked = time.Since(began), network.record()
		})
	}
	measure(s.theirs, &theirs)
	measure(s.ours, &ours)
	both.Wait()
	return theirs, ours
}

// wantSame fails the test if the sides did different things.
func wantSame(t *testing.T, theirs, ours result) {
	t.Helper()
	if !slices.Equal(theirs.asked, ours.asked) {
		t.Errorf("they asked %v\nwe asked   %v", theirs.asked, ours.asked)
	}
	if !maps.Equal(theirs.latency, ours.latency) {
		t.Errorf("they measured %v\nwe measured   %v", theirs.latency, ours.latency)
	}
	if theirs.took != ours.took {
		t.Errorf("their report took %v, ours %v", theirs.took, ours.took)
	}
	if theirs.home != ours.home {
		t.Errorf("they chose region %d, we region %d", theirs.home, ours.home)
	}
}

// network carries the requests of one report.
type network struct {
	away, away6 map[int]time.Duration
	began       time.Time

	mu    sync.Mutex
	asked []string
}

// carry calls answer after as long as the region needs, if it answers at all. It does not wait.
func (n *network) carry(to netip.AddrPort, answer func()) {
	region, family, times := int(to.Port())-firstPort, "IPv4", n.away
	if to.Addr().Is6() {
		family, times = "IPv6", n.away6
	}
	n.mu.Lock()
	n.asked = append(n.asked, fmt.Sprintf("%d over %s at %v", region, family, time.Since(n.began)))
	n.mu.Unlock()
	if away, ok := times[region]; ok {
		time.AfterFunc(away, answer)
	}
}

// record returns what was sent, sorted.
func (n *network) record() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.Sort(n.asked)
	return n.asked
}

// jsonOf is how the map travels from one code to the other.
func jsonOf(dm *tailcfg.DERPMap) []byte {
	text, err := json.Marshal(dm)
	if err != nil {
		panic(err)
	}
	return text
}

// avoid is a region's flag that keeps it out of most reports.
//
//lint:ignore SA1019 it is retired, but their code heeds it as long as maps have it
func avoid(r *tailcfg.DERPRegion) *bool { return &r.Avoid }
