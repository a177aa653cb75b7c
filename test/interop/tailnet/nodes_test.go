package tailnet

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/ipn/store/mem"
	"tailscale.com/net/netns"
	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
	"tailscale.com/tstest/integration/testcontrol"

	"github.com/detour-relay/detour/test/interop/programs"
)

// tailnet is two nodes whose only way to each other is one relay.
type tailnet struct {
	relay          *programs.Relay
	server, reader *node
}

// node is one Tailscale node with its address.
type node struct {
	*tsnet.Server
	ip netip.Addr
}

// newTailnet starts a control server whose DERP map has the given relay as its only region, named like the relay, and two
// nodes. On return both have chosen that region as their home and have found each other through it.
//
// Control server and nodes live until the process ends, which is soon: it exists for this test only. A node that must not
// use UDP cannot be closed, because its Close waits for the readers of sockets that it has replaced (tailscale.com v1.102),
// and the control server's Close waits for its nodes.
func newTailnet(t *testing.T, ctx context.Context, relay *programs.Relay) *tailnet {
	t.Helper()
	log := newNodeLog(t)
	control := startControl(derpMap(relay), log)
	n := &tailnet{
		relay:  relay,
		server: startNode(t, ctx, control, "server", log),
		reader: startNode(t, ctx, control, "reader", log),
	}
	awaitPath(t, ctx, n.reader, n.server, relay.Node.RegionID)
	return n
}

// startControl starts a control server that hands out the map.
func startControl(dm *tailcfg.DERPMap, log *nodeLog) *testcontrol.Server {
	netns.SetEnabled(false) // it would bind sockets to the veth interface
	control := &testcontrol.Server{
		Logf:           log.printf,
		DERPMap:        dm,
		DNSConfig:      &tailcfg.DNSConfig{Proxied: true},
		MagicDNSDomain: "interop.test",
	}
	control.HTTPTestServer = httptest.NewServer(control)
	return control
}

// derpMap has one region with the relay as its one node, in the relay's own words but for STUN: a node that finds nobody to send
// STUN requests to believes that its sockets are broken, and renews them and its relay connection every half minute. With a
// port it believes to have sent some, which its socket that is none swallows.
func derpMap(relay *programs.Relay) *tailcfg.DERPMap {
	entry := mapNode(relay)
	entry.STUNPort = 3478
	return &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{
		relay.Node.RegionID: {
			RegionID:   relay.Node.RegionID,
			RegionCode: relay.Name,
			Nodes:      []*tailcfg.DERPNode{entry},
		},
	}}
}

// mapNode gives the reference's code the entry of a relay in a DERP map.
func mapNode(r *programs.Relay) *tailcfg.DERPNode {
	text, err := json.Marshal(r.Node)
	if err != nil {
		panic(err) // it is made of texts and numbers
	}
	node := new(tailcfg.DERPNode)
	if err := json.Unmarshal(text, node); err != nil {
		panic(err) // the names are theirs
	}
	return node
}

// startNode starts a node and waits until the control server has admitted it.
func startNode(t *testing.T, ctx context.Context, control *testcontrol.Server, name string, log *nodeLog) *node {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, name+"-")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Server: &tsnet.Server{
		Dir:        dir,
		ControlURL: control.BaseURL(),
		Hostname:   name,
		Store:      new(mem.Store),
		Ephemeral:  true,
		UserLogf:   log.printf,
		Logf:       log.printf,
	}}
	status, err := n.Up(ctx)
	if err != nil {
		t.Fatalf("node %s did not come up: %v", name, err)
	}
	n.ip = status.TailscaleIPs[0]
	return n
}

// awaitPath sends pings until one comes back. A node that has not yet reached its home relay cannot be found there, so the
// first ones may be lost.
func awaitPath(t *testing.T, ctx context.Context, from, to *node, regionID int) {
	t.Helper()
	client, err := from.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		pong, err := client.Ping(once, to.ip, tailcfg.PingDisco)
		cancel()
		if err == nil && pong.Err == "" {
			if pong.DERPRegionID != regionID {
				t.Fatalf("a ping took the path %q, region %d, want region %d", pong.Endpoint, pong.DERPRegionID, regionID)
			}
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("node %s never answered a ping of node %s: %v", to.Hostname, from.Hostname, err)
		}
	}
}

// pathTo returns what a node knows about its way to another one.
func (n *node) pathTo(t *testing.T, ctx context.Context, to *node) (self, peer *ipnstate.PeerStatus) {
	t.Helper()
	client, err := n.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	status, err := client.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range status.Peer {
		if len(p.TailscaleIPs) > 0 && p.TailscaleIPs[0] == to.ip {
			return status.Self, p
		}
	}
	t.Fatalf("node %s knows no peer %v", n.Hostname, to.ip)
	return nil, nil
}

// nodeLog keeps the last lines that nodes and control server wrote. They may write after the test is over.
type nodeLog struct {
	mu    sync.Mutex
	lines []string
}

// newNodeLog returns a log that is shown if the test fails.
func newNodeLog(t *testing.T) *nodeLog {
	l := new(nodeLog)
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if t.Failed() {
			t.Logf("the nodes logged last:\n%s", strings.Join(l.lines, "\n"))
		}
	})
	return l
}

func (l *nodeLog) printf(format string, args ...any) {
	const kept = 300
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) >= kept {
		l.lines = l.lines[1:]
	}
	l.lines = append(l.lines, strings.TrimSpace(fmt.Sprintf(format, args...)))
}
