package wgbind

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits for what must happen.
const patience = 2 * time.Minute

// startRelay runs a relay with TLS and returns a map with it alone.
func startRelay(t testing.TB) *derpmap.Map {
	t.Helper()
	s, err := server.Open(server.Config{Listen: "127.0.0.1:0", Hostname: "127.0.0.1", StateDir: t.TempDir(), STUN: "off", Drain: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return &derpmap.Map{Regions: map[int]*derpmap.Region{1: {RegionID: 1, RegionCode: "one", Nodes: []*derpmap.Node{
		{Name: "1a", RegionID: 1, HostName: "127.0.0.1", IPv4: "127.0.0.1", CertName: s.Pin(), DERPPort: port, STUNPort: -1},
	}}}}
}

// A machine is a WireGuard device with its network.
type machine struct {
	key  key.Private
	bind *Bind
	dev  *device.Device
	tun  *tuntest.ChannelTUN
	addr netip.Addr
}

// newBind is one that has a home.
func newBind(t testing.TB, m *derpmap.Map, k key.Private, more Config) *Bind {
	t.Helper()
	bind, err := New(client.HostConfig{Key: k, Map: m}, more)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bind.Shutdown)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := bind.Host().AwaitHome(ctx); err != nil {
		t.Fatal(err)
	}
	return bind
}

func newMachine(t testing.TB, m *derpmap.Map, number byte, more Config) *machine {
	t.Helper()
	k := key.NewPrivate()
	bind := newBind(t, m, k, more)
	tun := tuntest.NewChannelTUN()
	to := &machine{key: k, bind: bind, tun: tun, addr: netip.AddrFrom4([4]byte{10, 0, 0, number}),
		dev: device.NewDevice(tun.TUN(), bind, device.NewLogger(device.LogLevelSilent, ""))}
	t.Cleanup(to.dev.Close)
	to.configure(t, "private_key=%s\n", secretHex(k))
	if err := to.dev.Up(); err != nil {
		t.Fatal(err)
	}
	return to
}

func secretHex(k key.Private) string { return strings.TrimPrefix(k.Text(), "privkey:") }

func (m *machine) configure(t testing.TB, format string, args ...any) {
	t.Helper()
	if err := m.dev.IpcSet(fmt.Sprintf(format, args...)); err != nil {
		t.Error(err)
	}
}

// meets has the device have a peer.
func (m *machine) meets(t testing.TB, other *machine) {
	t.Helper()
	public := other.key.Public()
	m.configure(t, "public_key=%s\nendpoint=%s\nallowed_ip=%s/32\n", public.Hex(), public, other.addr)
}

// reach sends a ping that the other device has to get.
func (m *machine) reach(t testing.TB, other *machine) {
	t.Helper()
	ping := tuntest.Ping(other.addr, m.addr)
	m.tun.Outbound <- ping
	select {
	case got := <-other.tun.Inbound:
		if string(got) != string(ping) {
			t.Fatalf("another packet comes out: %x", got)
		}
	case <-time.After(patience):
		t.Fatalf("it does not come through: %+v and %+v", m.bind.Stats(), other.bind.Stats())
	}
}

func TestTwoDevices(t *testing.T) {
	m := startRelay(t)
	a, b := newMachine(t, m, 1, Config{}), newMachine(t, m, 2, Config{})
	a.meets(t, b)
	b.meets(t, a)
	a.reach(t, b)
	b.reach(t, a)

	config, err := a.dev.IpcGet()
	if want := "endpoint=" + b.key.Public().String(); err != nil || !strings.Contains(config, want) {
		t.Errorf("the device says\n%s (%v), want %s", config, err, want)
	}
	if err := errors.Join(b.dev.Down(), b.dev.Up()); err != nil {
		t.Fatal(err)
	}
	b.reach(t, a) // and so they have new keys
	a.reach(t, b)
	if err := b.dev.BindUpdate(); err != nil {
		t.Fatal(err)
	}
	a.reach(t, b)
}

// While nobody listens, what comes in is dropped and the connection stays.
func TestDownIsDropped(t *testing.T) {
	m, secret, k := startRelay(t), key.NewPrivate(), key.NewPrivate()
	a, b := newBind(t, m, secret, Config{}), newBind(t, m, k, Config{})
	to, err := a.ParseEndpoint(k.Public().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Send([][]byte{{1}, {2}, {3}}, to); err != nil {
		t.Fatal(err)
	}
	await(t, b, Stats{Received: 3, Down: 3})
	receive, _, err := b.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Open(0); !errors.Is(err, conn.ErrBindAlreadyOpen) {
		t.Errorf("a second Open: %v", err)
	}
	large := make([]byte, derp.MaxPacket)
	if err := a.Send([][]byte{{4}, large, {5}}, to); err != nil {
		t.Fatal(err)
	}
	packets, sizes, eps := [][]byte{make([]byte, 100), make([]byte, len(large))}, make([]int, 2), make([]conn.Endpoint, 2)
	for i, want := range []int{1, len(large), 1} {
		n, err := receive[0](packets[1:], sizes, eps)
		if err != nil || n != 1 || sizes[0] != want || eps[0].(*Endpoint).Key() != secret.Public() {
			t.Fatalf("packet %d: %d of %v (%v)", i, n, sizes, err)
		}
	}
	await(t, b, Stats{Received: 6, Down: 3, Delivered: 3})
	if err := a.Send([][]byte{large, {6}}, to); err != nil {
		t.Fatal(err)
	}
	if n, err := receive[0](packets, sizes, eps); err != nil || n != 1 || packets[0][0] != 6 {
		t.Errorf("%d packets of %v (%v)", n, sizes, err)
	}
	await(t, b, Stats{Received: 8, Down: 3, Delivered: 4, Large: 1})
}

func await(t *testing.T, b *Bind, want Stats) {
	t.Helper()
	for end := time.Now().Add(patience); b.Stats() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come to that: %+v, want %+v", b.Stats(), want)
		}
	}
}

// The first packet of a peer that the device does not have yet arrives, once somebody has
// been asked: WireGuard would send it again after 5 s only.
func TestFirstPacketOfAStranger(t *testing.T) {
	m := startRelay(t)
	a := newMachine(t, m, 1, Config{})
	asked := make(chan key.Public, 10)
	var b *machine
	b = newMachine(t, m, 2, Config{Ask: func(_ context.Context, peer key.Public) bool {
		asked <- peer
		b.meets(t, a)
		return true
	}})
	a.meets(t, b)
	a.reach(t, b)
	if k := <-asked; k != a.key.Public() || len(asked) > 0 {
		t.Errorf("asked about %v, and %d times more", k, len(asked))
	}
	config, err := a.dev.IpcGet()
	if err != nil || !strings.Contains(config, "last_handshake_time_sec=") || b.bind.Stats().Strangers != 0 {
		t.Errorf("%s (%v), %+v", config, err, b.bind.Stats())
	}
}

// What is no WireGuard's is taken aside, and is not counted as the device's; who is not
// known is not asked about for it.
func TestAside(t *testing.T) {
	m, secret, k := startRelay(t), key.NewPrivate(), key.NewPrivate()
	taken := make(chan string, 10)
	a := newBind(t, m, secret, Config{})
	b := newBind(t, m, k, Config{
		Ask: func(context.Context, key.Public) bool { t.Error("somebody is asked"); return false },
		Aside: func(from key.Public, packet []byte) bool {
			if packet[0] < 'a' {
				return false
			}
			taken <- from.String() + string(packet)
			return true
		},
	})
	if _, err := b.ParseEndpoint(secret.Public().String()); err != nil {
		t.Fatal(err)
	}
	to, err := a.ParseEndpoint(k.Public().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Send([][]byte{[]byte("first"), {1}, []byte("last")}, to); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "last"} {
		if got := <-taken; got != secret.Public().String()+want {
			t.Errorf("taken is %s, want %s", got, want)
		}
	}
	await(t, b, Stats{Received: 3, Down: 1})
}

// A Host that somebody else makes is made as the Bind wants it.
func TestAnotherHost(t *testing.T) {
	wrong := errors.New("no")
	_, err := New(client.HostConfig{}, Config{NewHost: func(cfg client.HostConfig) (*client.Host, error) {
		if cfg.MaxAge != maxAge || cfg.ListenPacket == nil || cfg.Base.DialContext == nil || cfg.Lookup == nil {
			t.Errorf("it is asked for %+v", cfg)
		}
		return nil, wrong
	}})
	if !errors.Is(err, wrong) {
		t.Error(err)
	}
}

func TestShutdown(t *testing.T) {
	bind, err := New(client.HostConfig{Key: key.NewPrivate(), Map: startRelay(t)}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	receive, port, err := bind.Open(51820)
	if err != nil || port != 51820 {
		t.Fatalf("Open: port %d (%v)", port, err)
	}
	got := make(chan error)
	go func() {
		_, err := receive[0](make([][]byte, 1), make([]int, 1), make([]conn.Endpoint, 1))
		got <- err
	}()
	bind.Shutdown()
	if err := <-got; !errors.Is(err, net.ErrClosed) {
		t.Errorf("who receives is told %v", err)
	}
	if _, _, err := bind.Open(0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Open: %v", err)
	}
	ep, err := bind.ParseEndpoint(key.NewPrivate().Public().Hex())
	if err != nil {
		t.Fatal(err)
	}
	if err := bind.Send([][]byte{{1}}, ep); !errors.Is(err, client.ErrClosed) {
		t.Errorf("Send: %v", err)
	}
	bind.Shutdown()
	if err := bind.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	b := &Bind{strangers: newStrangers(nil, nil)}
	k := key.NewPrivate().Public()
	one, err := b.ParseEndpoint(k.String())
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.ParseEndpoint(k.Hex())
	if err != nil || again != one {
		t.Errorf("the same key has another endpoint: %v (%v)", again, err)
	}
	other, err := b.ParseEndpoint(key.NewPrivate().Public().String())
	if err != nil || other.DstIP() == one.DstIP() || string(other.DstToBytes()) == string(one.DstToBytes()) {
		t.Errorf("two peers are at %v and %v (%v)", one.DstIP(), other.DstIP(), err)
	}
	if !one.DstIP().IsPrivate() || one.DstToString() != k.String() || one.(*Endpoint).Key() != k {
		t.Errorf("it is at %v, %s", one.DstIP(), one.DstToString())
	}
	for _, text := range []string{"", "192.0.2.1:51820", "nodekey:", "nodekey:00", "nodekey:" + strings.Repeat("0", 64), strings.Repeat("g", 64)} {
		if _, err := b.ParseEndpoint(text); err == nil || !strings.Contains(err.Error(), "nodekey:") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := b.Send(nil, foreign{}); !errors.Is(err, conn.ErrWrongEndpointType) {
		t.Errorf("a foreign endpoint: %v", err)
	}
}

type foreign struct{ conn.Endpoint }
