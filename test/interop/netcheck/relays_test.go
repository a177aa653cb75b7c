package netcheck

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tailscale.com/net/netcheck"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/test/interop/mapnode"
	"github.com/detour-relay/detour/test/interop/programs"
)

// patience is how long anything that must happen may take.
const patience = 2 * time.Minute

// favourite is the region that the score in the map makes the nearest by far.
const favourite = 902

// startRegions starts three relays with more arguments, each a region of its own, and returns the map of them.
func startRegions(t *testing.T, args ...string) *tailcfg.DERPMap {
	t.Helper()
	dm := &tailcfg.DERPMap{
		Regions:    make(map[tailcfg.DERPRegionID]*tailcfg.DERPRegion),
		HomeParams: &tailcfg.DERPHomeParams{RegionScore: map[tailcfg.DERPRegionID]float64{favourite: 0.001}},
	}
	for id, name := range map[tailcfg.DERPRegionID]string{901: "901a", favourite: "902a", 903: "903a"} {
		node := mapnode.Of(programs.StartDetour(t, args...))
		node.Name, node.RegionID = name, id
		dm.Regions[id] = &tailcfg.DERPRegion{RegionID: id, RegionCode: name, Nodes: []*tailcfg.DERPNode{node}}
	}
	return dm
}

// netcheckAs makes one full report with their code, over real sockets.
func netcheckAs(t *testing.T, dm *tailcfg.DERPMap, options netcheck.GetReportOpts) *netcheck.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := &netcheck.Client{NetMon: netmon.NewStatic(), Logf: t.Logf, SkipExternalNetwork: true}
	if err := c.Standalone(ctx, nodeAddr+":0"); err != nil {
		t.Fatal(err)
	}
	report, err := c.GetReport(ctx, dm, &options)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// netcheckByUs makes one with ours.
func netcheckByUs(t *testing.T, dm *tailcfg.DERPMap) client.Home {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := derpmap.Load(jsonOf(dm), derpmap.JSON)
	if err != nil {
		t.Fatal(err)
	}
	home, err := client.Netcheck(ctx, client.NetcheckConfig{Map: m})
	if err != nil {
		t.Fatal(err)
	}
	return home
}

func wantRegions(t *testing.T, who string, latency map[int]time.Duration, home int) {
	t.Helper()
	regions := slices.Sorted(maps.Keys(latency))
	if !slices.Equal(regions, []int{901, 902, 903}) || home != favourite {
		t.Errorf("%s found %v and chose region %d; want regions 901 to 903, and region %d", who, latency, home, favourite)
	}
	for region, took := range latency {
		if took <= 0 || took > patience {
			t.Errorf("%s says that region %d is %v away", who, region, took)
		}
	}
}

func TestNetcheckBySTUN(t *testing.T) {
	dm := startRegions(t)
	theirs := netcheckAs(t, dm, netcheck.GetReportOpts{OnlySTUN: true})
	wantRegions(t, "their netcheck", mapnode.Numbers(theirs.RegionLatency), int(theirs.PreferredDERP))
	if !theirs.UDP || !theirs.IPv4 || theirs.GlobalV4.Addr().String() != nodeAddr || theirs.MappingVariesByDestIP != "false" {
		t.Errorf("their report: %+v", theirs)
	}
	ours := netcheckByUs(t, dm)
	wantRegions(t, "our netcheck", ours.Report.Latency, ours.Region)
	if !ours.Report.UDP || ours.Report.Public4.Addr().String() != nodeAddr {
		t.Errorf("our report: %+v", ours.Report)
	}
}

// Relays without STUN are found over HTTPS alone, verified by the pins of the map: a node that shows another certificate is none.
func TestNetcheckOverHTTPS(t *testing.T) {
	dm := startRegions(t, "--stun", "off")
	for id, region := range dm.Regions {
		if port := region.Nodes[0].STUNPort; port != -1 {
			t.Errorf("region %d says STUN port %d, want -1", id, port)
		}
	}
	impostor := *dm.Regions[901].Nodes[0]
	impostor.Name, impostor.RegionID, impostor.CertName = "904a", 904, "sha256-raw:"+strings.Repeat("0", 64)
	dm.Regions[904] = &tailcfg.DERPRegion{RegionID: 904, RegionCode: "904a", Nodes: []*tailcfg.DERPNode{&impostor}}

	theirs := netcheckAs(t, dm, netcheck.GetReportOpts{})
	wantRegions(t, "their netcheck", mapnode.Numbers(theirs.RegionLatency), int(theirs.PreferredDERP))
	if theirs.UDP || theirs.ICMPv4 || !theirs.IPv4 {
		t.Errorf("their report: %+v", theirs)
	}
	ours := netcheckByUs(t, dm)
	wantRegions(t, "our netcheck", ours.Report.Latency, ours.Region)
	if ours.Report.UDP || ours.Report.Failed[904] == nil {
		t.Errorf("our report: %+v", ours.Report)
	}
}

// Where STUN requests vanish, as behind a firewall, HTTPS takes over once they were waited for.
func TestNetcheckWithoutUDP(t *testing.T) {
	dm := startRegions(t, "--stun", "off")
	for _, region := range dm.Regions {
		region.Nodes[0].STUNPort = int(programs.FreeAddr(t).Port())
	}
	theirs := netcheckAs(t, dm, netcheck.GetReportOpts{})
	wantRegions(t, "their netcheck", mapnode.Numbers(theirs.RegionLatency), int(theirs.PreferredDERP))
	ours := netcheckByUs(t, dm)
	wantRegions(t, "our netcheck", ours.Report.Latency, ours.Region)
	if theirs.UDP || ours.Report.UDP {
		t.Errorf("UDP works, say they: %v, and we: %v", theirs.UDP, ours.Report.UDP)
	}
}
