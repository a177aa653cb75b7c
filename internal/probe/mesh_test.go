package probe

import (
	"net/netip"
	"testing"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

func TestMeshIsMissing(t *testing.T) {
	t.Parallel()
	cfg := relay.Config{MeshKeys: []key.Mesh{meshKey}}
	cert := goodCert(t)
	portA, a := startRelay(t, cert, cfg)
	portB, _ := startRelay(t, cert, cfg)
	region := func(keys ...key.Mesh) []Check {
		m := mapOf(mapNode("900a", portA, cert), mapNode("900b", portB, cert))
		return checked(t, Config{Map: m, MeshKeys: keys, Timeout: 2 * brief}).Regions[0].Checks
	}
	checks := region()
	want(t, checks, "mesh 900a 900b", Fail, "peers on 900a do not reach peers on 900b", "name relay.test:.* in --mesh-with of 900a")
	want(t, checks, "mesh 900b 900a", Fail, "peers on 900b do not reach peers on 900a", "in --mesh-with of 900b")

	link(t, a, portB, pinText(cert)) // and not the other way
	checks = region(meshKey)
	want(t, checks, "link 900a 900b", OK, "900a is linked to 900b", "")
	want(t, checks, "link 900b 900a", Fail, "900b is not linked to 900a", "in --mesh-with of 900b")
	want(t, checks, "mesh 900a 900b", Fail, "peers on 900b do not reach peers on 900a", "in --mesh-with of 900b")

	m := mapOf(mapNode("900a", portA, cert), mapNode("900b", portB, cert))
	report := checked(t, Config{Map: m, MeshKeys: []key.Mesh{otherMeshKey}, Timeout: 2 * brief}).Regions[0]
	want(t, report.Nodes[0].Checks, "meshkey", Fail, "refused", "give the relay the mesh key")
	want(t, report.Checks, "link 900a 900b", Skip, "needs meshkey of 900b", "")
}

// One relay that the map lists twice, and a node that is down.
func TestRegionIsNoRegion(t *testing.T) {
	cert := goodCert(t)
	port, _ := startRelay(t, cert, relay.Config{})
	m := mapOf(mapNode("900a", port, cert), mapNode("900b", port, cert), mapNode("900c", closedPort(t), cert))
	checks := checked(t, Config{Map: m}).Regions[0].Checks
	want(t, checks, "keys", Fail, "900a and 900b have the same key", "key file of its own")
	want(t, checks, "mesh 900a 900b", Skip, "see keys", "")
	want(t, checks, "mesh 900a 900c", Skip, "needs login and key of 900c", "")
}

// A relay that takes a peer for its proxy is told from one that sees what NAT has made of
// the peer's address.
func TestWrongOrigin(t *testing.T) {
	for _, test := range []struct {
		local, remote, seen string
		want                string
	}{
		{"192.168.1.2", "203.0.113.7", "198.51.100.9", ""},
		{"192.168.1.2", "203.0.113.7", "203.0.113.7", ""}, // one NAT for both
		{"192.168.1.2", "192.168.1.7", "192.168.1.2", ""},
		{"192.168.1.2", "192.168.1.7", "192.168.9.1", ""},
		{"127.0.0.1", "127.0.0.1", "127.0.0.1", ""},
		{"::1", "::1", "::1", ""},
		{"192.168.1.2", "203.0.113.7", "127.0.0.1", "127.0.0.1, which is its own machine"},
		{"2001:db8::1", "2001:db8::7", "::1", "::1, which is its own machine"},
		{"192.168.1.2", "203.0.113.7", "::ffff:127.0.0.1", "127.0.0.1, which is its own machine"},
		{"192.168.1.2", "203.0.113.7", "172.17.0.1", "172.17.0.1, which is a private address"},
		{"192.168.1.2", "::ffff:203.0.113.7", "10.0.0.3", "10.0.0.3, which is a private address"},
	} {
		parse := netip.MustParseAddr
		if got := wrongOrigin(parse(test.local), parse(test.remote), parse(test.seen)); got != test.want {
			t.Errorf("from %s to %s, seen as %s: %q, want %q", test.local, test.remote, test.seen, got, test.want)
		}
	}
	if got := wrongOrigin(netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("203.0.113.7"), netip.Addr{}); got != "" {
		t.Errorf("a relay that does not say: %q", got)
	}
}
