package tailnet

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	theirkey "tailscale.com/types/key"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/test/interop/programs"
	"github.com/detour-relay/detour/wgbind"
)

// directEnv is set in the process whose nodes may use UDP: theirs read when they start that
// they may not.
const directEnv = "TAILNET_DIRECT"

// A peer of ours and one of Tailscale's nodes begin over the relay and find the direct path
// between them: calls over the relay, pings and pongs by UDP, each in both directions, and
// WireGuard's packets, both ways, after them.
func TestARealNodeAndOurPeerFindTheDirectPath(t *testing.T) {
	if os.Getenv(directEnv) == "" {
		again(t)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	relay := programs.StartDetour(t)
	log := newNodeLog(t)
	control := startControl(derpMap(relay), log)
	node := startNode(t, ctx, control, "node", log)
	ours := newPeer(t, relay)
	ours.introduce(t, ctx, control, node, relay.Node.RegionID)
	ours.sendUntil(t, ctx, node, func() bool {
		_, we := node.pathTo(t, ctx, ours.asNode())
		return ours.bind.Path(ours.to).State == "direct" && we.CurAddr != ""
	})
	path := ours.bind.Path(ours.to)
	_, we := node.pathTo(t, ctx, ours.asNode())
	t.Logf("ours sends to %v, theirs to %v", path.Addr, we.CurAddr)
	if at, err := netip.ParseAddrPort(we.CurAddr); err != nil || at.Port() != ourPort {
		t.Errorf("theirs sends to %q, want port %d", we.CurAddr, ourPort)
	}
	received := we.RxBytes
	ours.sendUntil(t, ctx, node, func() bool {
		_, we := node.pathTo(t, ctx, ours.asNode())
		return we.RxBytes > received && ours.bind.Stats().Direct > 0
	})
	local, err := node.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	pong, err := local.Ping(ctx, ours.ip, tailcfg.PingDisco)
	if err != nil || pong.Err != "" || pong.Endpoint == "" || pong.DERPRegionID != 0 {
		t.Errorf("their ping: %+v, %v", pong, err)
	}
}

// again runs the test in a process of its own, whose nodes may use UDP.
func again(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = slices.DeleteFunc(append(os.Environ(), directEnv+"=1"), func(v string) bool { return strings.HasPrefix(v, "TS_DEBUG_ALWAYS_USE_DERP=") })
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

const ourPort = 41999 // the namespace is ours alone

// A peer is a WireGuard device above a Bind of ours. Packets of IP go in and out by
// channels.
type peer struct {
	key  key.Private
	ip   netip.Addr
	bind *wgbind.Bind
	tun  *tuntest.ChannelTUN
	wg   *device.Device
	to   key.Public // the only other one
}

func newPeer(t *testing.T, relay *programs.Relay) *peer {
	t.Helper()
	text, err := json.Marshal(derpMap(relay))
	if err != nil {
		t.Fatal(err)
	}
	regions, err := derpmap.Load(text, derpmap.JSON)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{key: key.NewPrivate(), ip: netip.MustParseAddr("100.64.9.9"), tun: tuntest.NewChannelTUN()}
	if p.bind, err = wgbind.New(client.HostConfig{Key: p.key, Map: regions}, wgbind.Config{Direct: &wgbind.Direct{Port: ourPort}}); err != nil {
		t.Fatal(err)
	}
	p.wg = device.NewDevice(p.tun.TUN(), p.bind, device.NewLogger(device.LogLevelError, "ours: "))
	t.Cleanup(func() { p.wg.Close(); p.bind.Shutdown() })
	return p
}

// introduce has the control server tell the node of ours, and ours of the node.
func (p *peer) introduce(t *testing.T, ctx context.Context, control *testcontrol.Server, n *node, region int) {
	t.Helper()
	var theirs theirkey.NodePublic
	if err := theirs.UnmarshalText([]byte(n.nodeKey(t, ctx))); err != nil {
		t.Fatal(err)
	}
	their := control.Node(theirs)
	var err error
	if p.to, err = key.ParsePublic(their.Key.String()); err != nil {
		t.Fatal(err)
	}
	p.bind.SetPeerDisco(p.to, key.Public(their.DiscoKey.AppendTo(nil)))
	p.bind.Host().SetPeerHome(p.to, region)
	secret := strings.TrimPrefix(p.key.Text(), "privkey:")
	config := "private_key=" + secret + "\npublic_key=" + p.to.Hex() + "\nendpoint=" + p.to.String() + "\nallowed_ip=" + n.ip.String() + "/32\n"
	if err := p.wg.IpcSet(config); err != nil {
		t.Fatal(err)
	}
	if err := p.wg.Up(); err != nil {
		t.Fatal(err)
	}
	addresses := []netip.Prefix{netip.PrefixFrom(p.ip, 32)}
	ours := &tailcfg.Node{
		ID: 99, StableID: "ours", Name: "ours.interop.test.", User: their.User, Machine: theirkey.NewMachine().Public(), MachineAuthorized: true,
		Addresses: addresses, AllowedIPs: addresses, HomeDERP: region, Cap: tailcfg.CurrentCapabilityVersion,
		Hostinfo: (&tailcfg.Hostinfo{Hostname: "ours"}).View(),
	}
	if err := ours.Key.UnmarshalText([]byte(p.key.Public().String())); err != nil {
		t.Fatal(err)
	}
	if err := ours.DiscoKey.UnmarshalText([]byte("discokey:" + p.bind.DiscoKey().Hex())); err != nil {
		t.Fatal(err)
	}
	control.UpdateNode(ours)
}

// asNode has pathTo find ours.
func (p *peer) asNode() *node { return &node{ip: p.ip} }

// sendUntil sends packets to the node until something is so.
func (p *peer) sendUntil(t *testing.T, ctx context.Context, n *node, is func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for sent := 0; ; {
		select {
		case <-p.tun.Inbound:
		case <-tick.C:
			p.tun.Outbound <- tuntest.Ping(n.ip, p.ip)
			if sent++; sent%5 == 0 && is() {
				return
			}
		case <-ctx.Done():
			t.Fatalf("it never comes about: ours %+v, %+v, %d packets sent", p.bind.Path(p.to), p.bind.Stats(), sent)
		}
	}
}
