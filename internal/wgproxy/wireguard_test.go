package wgproxy

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/server"
)

// startRelay runs a relay with TLS and returns a map with it alone.
func startRelay(t *testing.T) *derpmap.Map {
	t.Helper()
	s, err := server.Open(server.Config{Listen: "127.0.0.1:0", Hostname: "127.0.0.1", StateDir: t.TempDir(), STUN: "off", Drain: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
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

// A wireGuard is a device of wireguard-go with sockets of its own, as the program has it.
type wireGuard struct {
	*device.Device
	tun  *tuntest.ChannelTUN
	key  key.Private
	addr netip.Addr
}

func newWireGuard(t *testing.T, number byte) *wireGuard {
	t.Helper()
	tun := tuntest.NewChannelTUN()
	w := &wireGuard{
		device.NewDevice(tun.TUN(), conn.NewStdNetBind(), device.NewLogger(device.LogLevelSilent, "")),
		tun, key.NewPrivate(), netip.AddrFrom4([4]byte{10, 0, 0, number}),
	}
	t.Cleanup(w.Device.Close)
	w.set(t, "private_key=%s\n", strings.TrimPrefix(w.key.Text(), "privkey:"))
	if err := w.Up(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *wireGuard) set(t *testing.T, format string, args ...any) {
	t.Helper()
	if err := w.IpcSet(fmt.Sprintf(format, args...)); err != nil {
		t.Fatal(err)
	}
}

// Read is Device's.
func (w *wireGuard) Read() (State, error) {
	config, err := w.IpcGet()
	if err != nil {
		return State{}, err
	}
	s, last := State{Key: w.key, Peers: make(map[key.Public]netip.AddrPort)}, key.Public{}
	lines := bufio.NewScanner(strings.NewReader(config))
	for lines.Scan() && err == nil {
		switch name, value, _ := strings.Cut(lines.Text(), "="); name {
		case "listen_port":
			var port uint64
			port, err = strconv.ParseUint(value, 10, 16)
			s.Port = uint16(port)
		case "public_key":
			last, err = key.ParsePublicHex(value)
			s.Peers[last] = netip.AddrPort{}
		case "endpoint":
			s.Peers[last], err = netip.ParseAddrPort(value)
		}
	}
	return s, err
}

// SetEndpoints is Device's.
func (w *wireGuard) SetEndpoints(all map[key.Public]netip.AddrPort) error {
	var b strings.Builder
	for _, k := range slices.SortedFunc(maps.Keys(all), key.Public.Compare) {
		fmt.Fprintf(&b, "public_key=%s\nupdate_only=true\nendpoint=%s\n", k.Hex(), all[k])
	}
	return w.IpcSet(b.String())
}

// detached is a wireGuard that outlives the Proxy before it.
type detached struct{ *wireGuard }

func (detached) Close() error { return nil }

// stand runs a Proxy before a device, until stop.
func (w *wireGuard) stand(t *testing.T, m *derpmap.Map) (stop func()) {
	t.Helper()
	p, err := Open(Config{Device: detached{w}, Note: filepath.Join(t.TempDir(), "note"), SetMark: func(uint32) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- p.Run(ctx, func(k key.Private) (Relays, error) {
			h, err := client.NewHost(client.HostConfig{Key: k, Map: m, MaxAge: 200 * time.Millisecond})
			if err == nil {
				h.AwaitHome(ctx)
			}
			return h, err
		})
	}()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		p.Close()
	}
}

// reach sends a ping that the other device has to get. One may be lost, while endpoints are
// not yet set.
func (w *wireGuard) reach(t *testing.T, other *wireGuard) {
	t.Helper()
	ping := tuntest.Ping(other.addr, w.addr)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		w.tun.Outbound <- ping
		select {
		case got := <-other.tun.Inbound:
			if string(got) != string(ping) {
				t.Fatalf("another packet comes out: %x", got)
			}
			return
		case <-time.After(time.Second):
		}
	}
	t.Fatal("it does not come through")
}

// Two of WireGuard's own devices, with sockets of UDP, meet by way of a relay, and have in
// the end what they had.
func TestTwoWireGuards(t *testing.T) {
	m := startRelay(t)
	a, b := newWireGuard(t, 1), newWireGuard(t, 2)
	nowhere := netip.MustParseAddrPort("127.0.0.1:9")
	a.set(t, "public_key=%s\nallowed_ip=%s/32\nendpoint=%s\n", b.key.Public().Hex(), b.addr, nowhere)
	b.set(t, "public_key=%s\nallowed_ip=%s/32\n", a.key.Public().Hex(), a.addr)
	stopA, stopB := a.stand(t, m), b.stand(t, m)
	a.reach(t, b)
	for range 100 {
		b.reach(t, a)
		a.reach(t, b)
	}
	stopA()
	stopB()
	if s, err := a.Read(); err != nil || s.Peers[b.key.Public()] != nowhere {
		t.Errorf("in the end %v (%v)", s.Peers, err)
	}
}
