package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"

	"github.com/detour-relay/detour/test/interop/mapnode"
	"github.com/detour-relay/detour/test/interop/programs"
)

// theirWatcher runs the loop with which derper watches a sibling. What it is told waits in told, a PeerPresentMessage or a
// PeerGoneMessage each.
type theirWatcher struct {
	key  key.NodePublic
	told chan derp.ReceivedMessage
}

// newTheirWatcher begins to watch a relay of a region until the test ends.
func newTheirWatcher(t *testing.T, relay *programs.Relay) *theirWatcher {
	t.Helper()
	c := newMeshClient(t, relay, key.NewNode())
	w := &theirWatcher{key: c.SelfPublicKey(), told: make(chan derp.ReceivedMessage, 1024)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.RunWatchConnectionLoop(ctx, key.NodePublic{}, nil,
			func(m derp.PeerPresentMessage) { w.told <- m },
			func(m derp.PeerGoneMessage) { w.told <- m },
			func(error) {})
	}()
	t.Cleanup(func() {
		cancel()
		c.Close()
		<-done
	})
	return w
}

// newMeshClient makes their client with the mesh key of the relay. It connects when it is first used.
func newMeshClient(t *testing.T, relay *programs.Relay, k key.NodePrivate) *derphttp.Client {
	t.Helper()
	c, err := derphttp.NewClient(k, relay.URL, logger.Discard, netmon.NewStatic())
	if err != nil {
		t.Fatal(err)
	}
	c.TLSConfig = &tls.Config{RootCAs: relay.Roots()}
	if c.MeshKey, err = key.ParseDERPMesh(relay.MeshKey); err != nil {
		t.Fatal(err)
	}
	return c
}

// next returns the next thing that the watcher is told.
func (w *theirWatcher) next(t *testing.T) derp.ReceivedMessage {
	t.Helper()
	select {
	case m := <-w.told:
		return m
	case <-time.After(patience):
		t.Fatalf("the watcher was told nothing within %v", patience)
		return nil
	}
}

func (w *theirWatcher) want(t *testing.T, want derp.ReceivedMessage) {
	t.Helper()
	if got := w.next(t); got != want {
		t.Fatalf("the watcher was told %s, want %s", show(got), show(want))
	}
}

// A watcher of theirs is told of everybody who is at our relay already, of everybody who comes, and of who leaves, with
// addresses and flags.
func TestTheirWatcherSeesOurPeers(t *testing.T) {
	relay := programs.StartRegion(t, programs.NewMeshKey(), programs.Sibling{Program: "detour"})[0]
	present := map[key.NodePublic]derp.PeerPresentMessage{}
	before := func(p *visitor) { present[p.key] = p.presence() }
	first := newVisitor(t, relay, derp.PeerPresentIsRegular)
	before(first)
	prober := newVisitor(t, relay, derp.PeerPresentIsProber)
	before(prober)
	misplaced := newVisitor(t, relay, derp.PeerPresentNotIdeal)
	before(misplaced)

	w := newTheirWatcher(t, relay)
	sawItself := false
	for range len(present) + 1 {
		m, ok := w.next(t).(derp.PeerPresentMessage)
		if m.Key == w.key {
			sawItself = true
			if m.Flags != derp.PeerPresentIsMeshPeer {
				t.Errorf("the watcher is announced with flags %d", m.Flags)
			}
			continue
		}
		if want := present[m.Key]; !ok || m != want {
			t.Errorf("the watcher was told %+v, want %+v", m, want)
		}
		delete(present, m.Key)
	}
	if len(present) != 0 || !sawItself {
		t.Errorf("the watcher was not told of %d peers; of itself: %v", len(present), sawItself)
	}

	later := newVisitor(t, relay, derp.PeerPresentIsRegular)
	w.want(t, later.presence())
	first.Close()
	w.want(t, derp.PeerGoneMessage{Peer: first.key, Reason: derp.PeerGoneReasonDisconnected})
	again := newVisitor(t, relay, derp.PeerPresentIsProber)
	w.want(t, again.presence())
	for _, p := range []*visitor{later, prober, misplaced} {
		p.Close()
		w.want(t, derp.PeerGoneMessage{Peer: p.key, Reason: derp.PeerGoneReasonDisconnected})
	}
}

// A key with two connections is announced for each and gone with the last.
func TestTheirWatcherAndDuplicates(t *testing.T) {
	relay := programs.StartRegion(t, programs.NewMeshKey(), programs.Sibling{Program: "detour"})[0]
	w := newTheirWatcher(t, relay)
	w.next(t) // itself
	secret := key.NewNode()
	one := newVisitorWith(t, relay, derp.PeerPresentIsRegular, secret)
	w.want(t, one.presence())
	two := newVisitorWith(t, relay, derp.PeerPresentIsRegular, secret)
	w.want(t, two.presence())
	one.Close()
	other := newVisitor(t, relay, derp.PeerPresentIsRegular)
	w.want(t, other.presence()) // and not that the key is gone
	two.Close()
	w.want(t, derp.PeerGoneMessage{Peer: two.key, Reason: derp.PeerGoneReasonDisconnected})
}

// The privileged ClosePeer of theirs ends a peer at ours, and nobody else.
func TestTheirClosePeer(t *testing.T) {
	relay := programs.StartRegion(t, programs.NewMeshKey(), programs.Sibling{Program: "detour"})[0]
	stays := newTheirPeer(t, relay, byURL, "stays", key.NewNode())
	goes := newTheirPeer(t, relay, byRegion(tls.VersionTLS13), "goes", key.NewNode())
	exchange(t, goes, stays)
	c := newMeshClient(t, relay, key.NewNode())
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.ClosePeer(goes.key); err != nil {
		t.Fatal(err)
	}
	stays.wantGone(t, goes.address())
	stays.ping(t)
}

// visitor is a client of theirs that is only there.
type visitor struct {
	*derphttp.Client
	key   key.NodePublic
	at    netip.AddrPort
	flags derp.PeerPresentFlags
}

// presence is what a watcher must be told of it.
func (v *visitor) presence() derp.PeerPresentMessage {
	return derp.PeerPresentMessage{Key: v.key, IPPort: v.at, Flags: v.flags}
}

func newVisitor(t *testing.T, relay *programs.Relay, flags derp.PeerPresentFlags) *visitor {
	return newVisitorWith(t, relay, flags, key.NewNode())
}

// newVisitorWith logs in a client of the kind that the flag stands for, until the test ends.
func newVisitorWith(t *testing.T, relay *programs.Relay, flags derp.PeerPresentFlags, k key.NodePrivate) *visitor {
	t.Helper()
	node := mapnode.Of(relay)
	region := &tailcfg.DERPRegion{RegionID: node.RegionID, RegionCode: "interop", Nodes: []*tailcfg.DERPNode{node}}
	if flags&derp.PeerPresentNotIdeal != 0 {
		nobody := *node
		nobody.Name, nobody.DERPPort = "900z", 1 // nothing listens on that port
		region.Nodes = []*tailcfg.DERPNode{&nobody, node}
	}
	c := derphttp.NewRegionClient(k, logger.Discard, netmon.NewStatic(), func() *tailcfg.DERPRegion { return region })
	c.IsProber = flags&derp.PeerPresentIsProber != 0
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if m, err := c.Recv(); err != nil || fmt.Sprintf("%T", m) != "derp.ServerInfoMessage" {
		t.Fatalf("%v, %v", m, err)
	}
	at, err := c.LocalAddr()
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{Client: c, key: k.Public(), at: at, flags: flags}
}
