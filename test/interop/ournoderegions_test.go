package interop

import (
	"crypto/tls"
	"fmt"
	"testing"

	"tailscale.com/tailcfg"
	theirkey "tailscale.com/types/key"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/test/interop/mapnode"
	"github.com/detour-relay/detour/test/interop/programs"
)

// The regions of a map whose score makes the first the home of whoever measures both.
const (
	homeRegion  = 901
	otherRegion = 902
)

// startDerpers starts a derper with STUN in each of the two regions.
func startDerpers(t *testing.T) (home, other *programs.Relay, dm *tailcfg.DERPMap) {
	t.Helper()
	dm = &tailcfg.DERPMap{
		Regions:    make(map[tailcfg.DERPRegionID]*tailcfg.DERPRegion),
		HomeParams: &tailcfg.DERPHomeParams{RegionScore: map[tailcfg.DERPRegionID]float64{homeRegion: 0.001}},
	}
	relays := make(map[int]*programs.Relay)
	for _, id := range []int{homeRegion, otherRegion} {
		r := programs.Region{ID: id, STUN: true}.Start(t, programs.NewMeshKey(), programs.Sibling{Program: "derper"})[0]
		relays[id] = r
		region := tailcfg.DERPRegionID(id)
		dm.Regions[region] = &tailcfg.DERPRegion{RegionID: region, RegionCode: fmt.Sprint(id), Nodes: []*tailcfg.DERPNode{mapnode.Of(r)}}
	}
	return relays[homeRegion], relays[otherRegion], dm
}

// Our node lives among unmodified derpers: it chooses its home by their STUN, meets peers in either region, learns who is not there
// and who has left, and survives the end of both relays.
func TestOurNodeAmongDerpers(t *testing.T) {
	home, other, dm := startDerpers(t)
	ours := newOurNode(t, dm)
	found := ours.awaitHome(t, homeRegion)
	if r := found.Report; !r.UDP || r.Latency4[homeRegion] <= 0 || r.Latency4[otherRegion] <= 0 || r.Public4.Addr().String() != programs.Host {
		t.Errorf("the report that led to the home: %+v", r)
	}
	near := newTheirPeer(t, home, byRegion(tls.VersionTLS13), "near", theirkey.NewNode())
	far := newTheirPeer(t, other, byRegion(tls.VersionTLS13), "far", theirkey.NewNode())
	ours.SetPeerHome(far.address(), otherRegion)
	for _, p := range []*theirPeer{near, far} {
		ours.befriend(t, p)
	}
	ours.missesNobody(t)
	far.leave()
	ours.wantGone(t, far.address())

	other.Kill()
	other.StartAgain(t)
	back := newTheirPeer(t, other, byRegion(tls.VersionTLS13), "back", theirkey.NewNode())
	ours.SetPeerHome(back.address(), otherRegion)
	ours.befriend(t, back)

	home.Kill() // and the node moves, once it has not heard its home for a while
	ours.awaitHome(t, otherRegion)
	ours.befriend(t, back)
}

// befriend exchanges packets with a peer, wherever it is.
func (n *ourNode) befriend(t *testing.T, p *theirPeer) {
	t.Helper()
	introduce(t, n, p)
	exchange(t, n, p)
	exchange(t, p, n)
}

// missesNobody asks the other region for a peer that is nowhere.
func (n *ourNode) missesNobody(t *testing.T) {
	t.Helper()
	nobody := key.NewPrivate().Public()
	n.SetPeerHome(nobody, otherRegion)
	n.sendTo(t, nobody, disco("call me maybe"))
	m := n.next(t)
	if m.Kind != client.MessagePeerGone || m.Peer != nobody || m.Reason != derp.ReasonNotHere || m.Region != otherRegion {
		t.Errorf("after a disco packet to nobody our node received %s", describe(m))
	}
}
