package measure

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/home"
	"github.com/detour-relay/detour/internal/stun"
)

// responder answers STUN on a real socket for as long as the test runs.
func responder(t *testing.T, addr string) netip.AddrPort {
	t.Helper()
	r, err := stun.Listen(t.Context(), stun.Config{Addr: addr})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { r.Serve(context.Background()) })
	t.Cleanup(func() {
		r.Close()
		serving.Wait()
	})
	return r.Addr()
}

// hasIPv6 tells whether this host has ::1. It asks the system and not the
// responder, whose failures are for the tests to find.
func hasIPv6(t *testing.T) bool {
	t.Helper()
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Logf("IPv4 only, as this host has no ::1: %v", err)
		return false
	}
	c.Close()
	return true
}

func TestRealSockets(t *testing.T) {
	m := &derpmap.Map{Regions: make(map[int]*derpmap.Region)}
	add := func(id int, node derpmap.Node) { m.Regions[id] = &derpmap.Region{Nodes: []*derpmap.Node{&node}} }
	for id := 1; id <= 3; id++ {
		at := responder(t, "127.0.0.1:0")
		add(id, derpmap.Node{HostName: "127.0.0.1", IPv4: "127.0.0.1", IPv6: "none", STUNPort: int(at.Port())})
	}
	ipv6 := hasIPv6(t)
	if ipv6 {
		at := responder(t, "[::1]:0")
		add(4, derpmap.Node{HostName: "::1", STUNTestIP: "::1", STUNPort: int(at.Port())})
		at = responder(t, "[::]:0")
		add(5, derpmap.Node{HostName: "127.0.0.1", IPv4: "127.0.0.1", IPv6: "::1", STUNPort: int(at.Port())})
	}
	got := Run(t.Context(), Config{}, home.Questions{Regions: Regions(m), Have: HostFamilies(), Full: true, AllRegions: true})
	for id := range m.Regions {
		took, over4, over6 := got.Latency[id], got.Latency4[id] > 0, got.Latency6[id] > 0
		if took <= 0 || took > 3*time.Second || over4 != (id != 4) || over6 != (id > 3) {
			t.Errorf("region %d answered after %v, over IPv4: %t, IPv6: %t", id, took, over4, over6)
		}
	}
	if !got.UDP || got.Public4.Addr() != netip.MustParseAddr("127.0.0.1") || got.MappingVaries != home.No || len(got.Failed) > 0 {
		t.Errorf("%+v, failed %v", got.Report, got.Failed)
	}
	if ipv6 && got.Public6.Addr() != netip.IPv6Loopback() {
		t.Errorf("over IPv6 we are %v", got.Public6)
	}
}

// A socket that nobody reads from says nothing, and the report ends with its
// context.
func TestRealSilence(t *testing.T) {
	r, err := stun.Listen(t.Context(), stun.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	regions := []home.Region{{ID: 1, Nodes: []home.Node{{IPv4: "127.0.0.1", IPv6: "none", STUNPort: int(r.Addr().Port())}}}}
	ctx, cancel := context.WithTimeout(t.Context(), 250*ms)
	defer cancel()
	if got := Run(ctx, Config{}, home.Questions{Regions: regions, Full: true}); got.UDP || len(got.Failed) > 0 {
		t.Errorf("%+v, failed %v", got.Report, got.Failed)
	}
}

func TestRegionsOfAMap(t *testing.T) {
	m := &derpmap.Map{Regions: map[int]*derpmap.Region{
		9: {RegionID: 9, Avoid: true, NoMeasureNoHome: true},
		2: {RegionID: 7, Nodes: []*derpmap.Node{nil, {
			Name: "2a", HostName: "r.example", IPv4: "192.0.2.1", IPv6: "none", STUNPort: 5, STUNOnly: true, STUNTestIP: "192.0.2.2", CanPort80: true,
		}}},
		3: nil,
	}}
	got := Regions(m)
	if len(got) != 2 || got[0].ID != 2 || len(got[0].Nodes) != 1 || got[1].ID != 9 || !got[1].Avoid || !got[1].NoMeasureNoHome {
		t.Fatalf("%+v", got)
	}
	want := home.Node{HostName: "r.example", IPv4: "192.0.2.1", IPv6: "none", STUNPort: 5, STUNOnly: true, STUNTestIP: "192.0.2.2", CanPort80: true}
	if got[0].Nodes[0] != want {
		t.Errorf("%+v, want %+v", got[0].Nodes[0], want)
	}
}
