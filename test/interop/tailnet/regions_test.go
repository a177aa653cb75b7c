package tailnet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tailscale.com/tailcfg"

	"github.com/detour-relay/detour/test/interop/programs"
)

// The homes of the two nodes.
const (
	eastRegion = 901
	westRegion = 902
)

// crossing is two nodes whose homes are different regions: the one in the east has one relay, that in the west has two.
type crossing struct {
	east, west             *node
	eastRelays, westRelays []*programs.Relay
	dead                   *programs.Relay // at the moment
	content                []byte          // what either node serves
}

func newCrossing(t *testing.T, ctx context.Context) *crossing {
	t.Helper()
	detour := programs.Sibling{Program: "detour"}
	c := &crossing{
		eastRelays: programs.Region{ID: eastRegion}.Start(t, programs.NewMeshKey(), detour),
		westRelays: programs.Region{ID: westRegion}.Start(t, programs.NewMeshKey(), detour, detour),
		content:    make([]byte, 4_000_000),
	}
	rand.NewChaCha8([32]byte{2}).Read(c.content)
	programs.AwaitLinks(t, c.westRelays, 1)
	log := newNodeLog(t)
	control := startControl(mapOf(c.eastRelays, c.westRelays), log)
	c.east = startNode(t, ctx, control, "east", log)
	c.west = startNode(t, ctx, control, "west", log)
	c.east.settle(t, ctx, eastRegion)
	c.west.settle(t, ctx, westRegion)
	serve(t, c.east, c.content)
	serve(t, c.west, c.content)
	return c
}

func mapOf(regions ...[]*programs.Relay) *tailcfg.DERPMap {
	dm := &tailcfg.DERPMap{Regions: make(map[int]*tailcfg.DERPRegion)}
	for _, relays := range regions {
		id := relays[0].Node.RegionID
		region := &tailcfg.DERPRegion{RegionID: id, RegionCode: codeOf(id)}
		for _, r := range relays {
			entry := mapNode(r)
			entry.STUNPort = 3478 // see derpMap
			region.Nodes = append(region.Nodes, entry)
		}
		dm.Regions[id] = region
	}
	return dm
}

func codeOf(region int) string { return fmt.Sprintf("r%d", region) }

// settle makes a region the node's home, by the means that the reference has for it, and waits until it is.
func (n *node) settle(t *testing.T, ctx context.Context, region int) {
	t.Helper()
	client, err := n.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.DebugActionBody(ctx, "force-prefer-derp", strings.NewReader(fmt.Sprint(region))); err != nil {
		t.Fatal(err)
	}
	for {
		if err := client.DebugAction(ctx, "restun"); err != nil {
			t.Fatal(err)
		}
		status, err := client.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if status.Self.Relay == codeOf(region) {
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("home of node %s is region %q, want %q", n.Hostname, status.Self.Relay, codeOf(region))
		}
	}
}

// speakFirst lets a node speak to another while neither has a connection but to its home. The first who speaks opens the other's
// region; the other answers there, so all that they say to each other goes that way from then on.
func (c *crossing) speakFirst(t *testing.T, ctx context.Context, from, to *node, region int) {
	t.Helper()
	client, err := from.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	for {
		c.hangUp(t, ctx)
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		pong, err := client.Ping(once, to.ip, tailcfg.PingDisco)
		cancel()
		if err == nil && pong.Err == "" && pong.DERPRegionID == region {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("no ping of node %s came to node %s through region %d: %+v, %v", from.Hostname, to.Hostname, region, pong, err)
		}
	}
}

// hangUp ends all connections of both nodes to relays. They connect to their homes anew at once.
func (c *crossing) hangUp(t *testing.T, ctx context.Context) {
	t.Helper()
	for _, n := range []*node{c.east, c.west} {
		client, err := n.LocalClient()
		if err == nil {
			err = client.DebugAction(ctx, "break-derp-conns")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// exchange lets each node download from the other, all of which must go through this relay and no other; nil: through any.
func (c *crossing) exchange(t *testing.T, ctx context.Context, through *programs.Relay) {
	t.Helper()
	for _, pair := range [][2]*node{{c.east, c.west}, {c.west, c.east}} {
		before := c.sent(t)
		if err := fetch(ctx, pair[0].HTTPClient(), pair[1].ip.String(), c.content); err != nil {
			t.Fatalf("node %s downloads from node %s: %v", pair[0].Hostname, pair[1].Hostname, err)
		}
		all := 0
		for r, sent := range c.sent(t) {
			sent -= before[r]
			all += sent
			if through != nil && r != through && sent > len(c.content)/10 {
				t.Errorf("%s sent %d bytes of a download through %s", r.Node.Name, sent, through.Node.Name)
			}
		}
		if all < len(c.content) {
			t.Errorf("relays sent %d bytes during a download of %d: the rest took another way", all, len(c.content))
		}
		c.checkPath(t, ctx, pair[0], pair[1])
	}
}

// sent returns how many bytes of packets the relays that live have sent so far.
func (c *crossing) sent(t *testing.T) map[*programs.Relay]int {
	t.Helper()
	bytes := make(map[*programs.Relay]int)
	for _, r := range slices.Concat(c.eastRelays, c.westRelays) {
		if r != c.dead {
			bytes[r] = r.Status(t).Relay.Sent.Other.Bytes
		}
	}
	return bytes
}

// checkPath fails the test unless a node says that the home of each is another, and that it reaches the other through relays only.
func (c *crossing) checkPath(t *testing.T, ctx context.Context, from, to *node) {
	t.Helper()
	home := map[*node]string{c.east: codeOf(eastRegion), c.west: codeOf(westRegion)}
	self, peer := from.pathTo(t, ctx, to)
	if self.Relay != home[from] || peer.Relay != home[to] || peer.CurAddr != "" || peer.PeerRelay != "" || !peer.Active {
		t.Errorf("node %s has home %q, and reaches %s by region %q, address %q, peer relay %q, active %v; want home %q and region %q only",
			from.Hostname, self.Relay, to.Hostname, peer.Relay, peer.CurAddr, peer.PeerRelay, peer.Active, home[from], home[to])
	}
}

// wantAt waits until both nodes are at a relay in the west, one of them at home, and that many are not where they want to be.
func wantAt(t *testing.T, relay *programs.Relay, astray int) {
	t.Helper()
	relay.Await(t, func(s programs.Status) error {
		if s.Relay.Homes != 1 || s.Relay.NotIdeal != astray {
			return fmt.Errorf("%d peers are at home, %d not at their ideal node; want 1 and %d", s.Relay.Homes, s.Relay.NotIdeal, astray)
		}
		return nil
	})
}

// Nodes whose homes are different regions reach each other through either, and through the second relay of a region while the
// first is dead.
func TestRegions(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c := newCrossing(t, ctx)
	first, second := c.westRelays[0], c.westRelays[1]

	c.speakFirst(t, ctx, c.west, c.east, eastRegion)
	c.exchange(t, ctx, c.eastRelays[0])
	c.speakFirst(t, ctx, c.east, c.west, westRegion)
	c.exchange(t, ctx, first)
	wantAt(t, first, 0)

	first.Kill()
	c.dead = first
	awaitPath(t, ctx, c.east, c.west, westRegion)
	c.exchange(t, ctx, nil) // meanwhile the node in the west may have opened the other's region, too
	wantAt(t, second, 2)
	c.speakFirst(t, ctx, c.east, c.west, westRegion)
	c.exchange(t, ctx, second)

	first.StartAgain(t)
	c.dead = nil
	programs.AwaitLinks(t, c.westRelays, 1)
	c.speakFirst(t, ctx, c.east, c.west, westRegion)
	c.exchange(t, ctx, first)
	wantAt(t, first, 0)
}
