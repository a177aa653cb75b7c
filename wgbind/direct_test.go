package wgbind

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
)

// onLoopback has direct paths on this machine.
func onLoopback() Config { return Config{Direct: &Direct{loopback: true}} }

// pings go from one device to the other until all of them go directly.
func (m *machine) goDirect(t *testing.T, other *machine) {
	t.Helper()
	for deadline := time.Now().Add(patience); m.bind.Path(other.key.Public()).State != "direct"; {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", m.bind.Path(other.key.Public()))
		}
		m.reach(t, other)
	}
}

func TestTwoDevicesDirectly(t *testing.T) {
	m := startRelay(t)
	a, b := newMachine(t, m, 1, onLoopback()), newMachine(t, m, 2, onLoopback())
	a.meets(t, b)
	b.meets(t, a)
	a.reach(t, b)
	if p := a.bind.Path(b.key.Public()); p.State != "relay" || p.Addr.IsValid() {
		t.Errorf("without a disco key: %+v", p)
	}
	a.bind.SetPeerDisco(b.key.Public(), b.bind.DiscoKey())
	b.bind.SetPeerDisco(a.key.Public(), a.bind.DiscoKey())
	a.goDirect(t, b)
	b.goDirect(t, a)
	before := b.bind.Stats().Direct
	for deadline := time.Now().Add(patience); b.bind.Stats().Direct < before+20; {
		if time.Now().After(deadline) {
			t.Fatalf("%d before, %+v now", before, b.bind.Stats())
		}
		a.reach(t, b) // none is lost
	}
	a.goDirect(t, b)
	if p := a.bind.Path(b.key.Public()); !p.Addr.Addr().IsLoopback() || p.RoundTrip <= 0 {
		t.Errorf("%+v", p)
	}

	// Down and up again, the path is the same one.
	if err := errors.Join(b.dev.Down(), b.dev.Up()); err != nil {
		t.Fatal(err)
	}
	b.reach(t, a) // and so they have new keys
	a.reach(t, b)

	// The other leaves UDP: over the relay from then on.
	b.bind.SetPeerDisco(a.key.Public(), key.Public{})
	a.bind.SetPeerDisco(b.key.Public(), key.Public{})
	a.reach(t, b)
	b.reach(t, a)
	if p := a.bind.Path(b.key.Public()); p.State != "relay" {
		t.Errorf("%+v", p)
	}
}

// The one end cannot receive by UDP any more, and neither loses a packet for good.
func TestUDPEndsWhileADeviceIsUp(t *testing.T) {
	m := startRelay(t)
	a, b := newMachine(t, m, 1, onLoopback()), newMachine(t, m, 2, onLoopback())
	a.meets(t, b)
	b.meets(t, a)
	a.bind.SetPeerDisco(b.key.Public(), b.bind.DiscoKey())
	b.bind.SetPeerDisco(a.key.Public(), a.bind.DiscoKey())
	a.goDirect(t, b)
	b.bind.direct.Close()
	a.bind.NetworkChanged()
	a.reach(t, b)
	b.reach(t, a)
}

func TestNoDirectPaths(t *testing.T) {
	b := newBind(t, startRelay(t), key.NewPrivate(), Config{})
	peer := key.NewPrivate().Public()
	b.SetPeerDisco(peer, key.NewPrivate().Public())
	if !b.DiscoKey().IsZero() || b.Path(peer).State != "relay" {
		t.Errorf("%v, %+v", b.DiscoKey(), b.Path(peer))
	}
	b.NetworkChanged()
	b.Forget(peer)
}

func TestAPortThatIsTaken(t *testing.T) {
	m := startRelay(t)
	b := newBind(t, m, key.NewPrivate(), onLoopback())
	_, err := New(client.HostConfig{Key: key.NewPrivate(), Map: m}, Config{Direct: &Direct{Port: b.direct.Port()}})
	if err == nil {
		t.Error("a port is taken twice")
	}
}

func TestForgetEndsThePath(t *testing.T) {
	b := newBind(t, startRelay(t), key.NewPrivate(), onLoopback())
	peer := key.NewPrivate().Public()
	ep, err := b.ParseEndpoint(peer.String())
	if err != nil || ep.(*Endpoint).path.Load() == nil {
		t.Fatalf("no path (%v)", err)
	}
	b.SetPeerDisco(peer, key.NewPrivate().Public())
	b.Forget(peer)
	if again, err := b.ParseEndpoint(peer.String()); err != nil || again == ep || again.(*Endpoint).path.Load() == ep.(*Endpoint).path.Load() {
		t.Errorf("it has the same path again (%v)", err)
	}
}

func TestResponders(t *testing.T) {
	region := func(id int, nodes ...*derpmap.Node) *derpmap.Region {
		return &derpmap.Region{RegionID: id, Nodes: nodes}
	}
	m := &derpmap.Map{Regions: map[int]*derpmap.Region{
		1: region(1, &derpmap.Node{HostName: "one", IPv4: "192.0.2.1", IPv6: "2001:db8::1"}, nil, &derpmap.Node{HostName: "tcp", IPv4: "192.0.2.9", STUNPort: -1}),
		2: region(2, &derpmap.Node{HostName: "two", IPv4: "192.0.2.2", IPv6: "none", STUNPort: 99}),
		3: region(3, &derpmap.Node{HostName: "three"}, &derpmap.Node{HostName: "nowhere"}),
		4: nil,
	}}
	find := func(_ context.Context, network, host string) ([]netip.Addr, error) {
		if host == "three" && network == "ip4" {
			return []netip.Addr{netip.MustParseAddr("192.0.2.3")}, nil
		}
		return nil, errors.New("not found")
	}
	got := fmt.Sprint(responders(t.Context(), m, 2, find))
	if want := "[192.0.2.2:99 192.0.2.1:3478 [2001:db8::1]:3478 192.0.2.3:3478]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := responders(t.Context(), nil, 1, nil); got != nil {
		t.Error(got)
	}
	if got := responders(t.Context(), m, 1, nil); len(got) != 3 || slices.Contains(got, netip.AddrPort{}) {
		t.Error(got)
	}
}
