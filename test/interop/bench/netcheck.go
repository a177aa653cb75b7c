package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tailscale.com/net/netcheck"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/logger"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/test/interop/programs"
)

const (
	netcheckRegions = 30
	netcheckRounds  = 25
	nearestRegion   = 5 * time.Millisecond
	secondRegion    = 40 * time.Millisecond
	farthestRegion  = 300 * time.Millisecond
	firstRegion     = 900 // ID
)

// netcheckLimit is 1 and what medians of the same check differ by from run to run: both spend nearly all of the time waiting for the
// same answers, and neither can be faster than these.
const netcheckLimit = 1.02

// netchecks is how long full reports took, ours and Tailscale's of one map, and the home that both chose.
type netchecks struct {
	OursMS   []float64 `json:"detour_ms"`
	TheirsMS []float64 `json:"tailscale_ms"`
	Home     int       `json:"home"`
}

func netcheckRow() row {
	return row{
		name: "netcheck", text: fmt.Sprintf("netcheck of %d regions, beside Tailscale's own", netcheckRegions), unit: "ms",
		mark: mark{limit: netcheckLimit, ratio: true, reference: "Tailscale's"}, needs: []string{netchecking},
		figures: func(r *results) (*float64, *float64) {
			if r.Netcheck == nil {
				return nil, nil
			}
			return middle(slices.Clone(r.Netcheck.OursMS)), middle(slices.Clone(r.Netcheck.TheirsMS))
		},
	}
}

func (s *stage) netchecks(ctx context.Context) (*netchecks, error) {
	return compareNetchecks(ctx, netcheckRounds)
}

// compareNetchecks has both measure the same regions, in turns. It fails if they do not choose the same home.
func compareNetchecks(ctx context.Context, rounds int) (*netchecks, error) {
	far, err := startFarSTUN(spreadLatencies(netcheckRegions))
	if err != nil {
		return nil, err
	}
	defer far.stop()
	theirMap := mapOfPorts(far.ports())
	ourMap, err := readMap(theirMap)
	if err != nil {
		return nil, err
	}
	found := new(netchecks)
	checks := []func() error{
		func() error {
			home, took, err := ourNetcheck(ctx, ourMap)
			return found.add(&found.OursMS, home, took, err)
		},
		func() error {
			home, took, err := theirNetcheck(ctx, theirMap)
			return found.add(&found.TheirsMS, home, took, err)
		},
	}
	for range rounds {
		for _, check := range checks {
			if err := check(); err != nil {
				return nil, err
			}
		}
		slices.Reverse(checks)
	}
	talk("  ours %.1f ms, Tailscale's %.1f ms, home %d\n", *middle(slices.Clone(found.OursMS)), *middle(slices.Clone(found.TheirsMS)), found.Home)
	return found, nil
}

// add notes what a check found: all of them have to choose the same home.
func (n *netchecks) add(all *[]float64, home int, took time.Duration, err error) error {
	if err != nil {
		return err
	}
	if n.Home == 0 {
		n.Home = home
	}
	if home != n.Home || home == 0 {
		return fmt.Errorf("of the same regions, one check chose %d as home and another %d", n.Home, home)
	}
	*all = append(*all, float64(took.Microseconds())/1e3)
	return nil
}

// ourNetcheck makes a full report with our client, and says how long it took.
func ourNetcheck(ctx context.Context, m *derpmap.Map) (home int, took time.Duration, err error) {
	began := time.Now()
	found, err := client.Netcheck(ctx, client.NetcheckConfig{Map: m})
	return found.Region, time.Since(began), err
}

// theirNetcheck is ourNetcheck with theirs, whose sockets are there before it begins, as they are in their client.
func theirNetcheck(ctx context.Context, m *tailcfg.DERPMap) (home int, took time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &netcheck.Client{NetMon: netmon.NewStatic(), Logf: logger.Discard}
	if err := c.Standalone(ctx, ""); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	found, err := c.GetReport(ctx, m, nil)
	if err != nil {
		return 0, 0, fmt.Errorf("netcheck of Tailscale's: %w", err)
	}
	return int(found.PreferredDERP), time.Since(began), nil
}

// spreadLatencies are those of n regions: one that is the nearest by far, so that no hiccup of the machine makes another one home,
// and the others evenly up to the farthest, not in the order of the regions.
func spreadLatencies(n int) []time.Duration {
	all := make([]time.Duration, n)
	for i := range all {
		all[(7*i+3)%n] = secondRegion + (farthestRegion-secondRegion)*time.Duration(i-1)/time.Duration(n-2)
	}
	all[3%n] = nearestRegion
	return all
}

// mapOfPorts is a map of regions of one node each, which answer STUN at these ports of loopback.
func mapOfPorts(ports []int) *tailcfg.DERPMap {
	m := &tailcfg.DERPMap{Regions: map[tailcfg.DERPRegionID]*tailcfg.DERPRegion{}}
	for i, port := range ports {
		id := tailcfg.DERPRegionID(firstRegion + i)
		m.Regions[id] = &tailcfg.DERPRegion{RegionID: id, RegionCode: fmt.Sprint("r", id), Nodes: []*tailcfg.DERPNode{{
			Name: fmt.Sprint(id, "a"), RegionID: id, HostName: programs.Host, IPv4: programs.Host, IPv6: "none", STUNPort: port,
		}}}
	}
	return m
}

// readMap is the same map for us.
func readMap(theirs *tailcfg.DERPMap) (*derpmap.Map, error) {
	text, err := json.Marshal(theirs)
	if err != nil {
		return nil, err
	}
	return derpmap.Load(text, derpmap.JSON)
}
