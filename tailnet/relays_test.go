package tailnet

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// relays are real engines in two regions behind TLS and HTTP, in memory.
type relays struct {
	t       *testing.T
	tls     *tls.Config
	serving sync.WaitGroup

	mu      sync.Mutex // guards all below
	engines map[int]*relay.Server
	down    map[int]bool
	conns   map[int][]net.Conn
	latency map[string]time.Duration // of who asks, by name and region
}

func newRelays(t *testing.T) *relays {
	w := &relays{
		t: t, tls: &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}, engines: make(map[int]*relay.Server),
		down: make(map[int]bool), conns: make(map[int][]net.Conn), latency: make(map[string]time.Duration),
	}
	for _, region := range []int{900, 901} {
		engine, err := relay.New(relay.Config{Key: key.NewPrivate()})
		if err != nil {
			t.Fatal(err)
		}
		w.engines[region] = engine
	}
	t.Cleanup(func() {
		for region, engine := range w.engines {
			w.kill(region)
			if err := engine.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}
		w.serving.Wait()
	})
	return w
}

func selfSigned(t *testing.T) tls.Certificate {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

// derpMap has the regions without STUN, so that they are measured over HTTPS.
func (w *relays) derpMap() string {
	var b strings.Builder
	for _, region := range []int{900, 901} {
		fmt.Fprintf(&b, `%q:{"RegionID":%d,"Nodes":[{"Name":"%da","RegionID":%d,"HostName":"relay","IPv4":"192.0.2.%d","IPv6":"none","STUNPort":-1,"InsecureForTests":true}]},`,
			fmt.Sprint(region), region, region, region, region-899)
	}
	return `{"Regions":{` + strings.TrimSuffix(b.String(), ",") + `}}`
}

// near makes a region the nearest for somebody.
func (w *relays) near(name string, region int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latency[fmt.Sprint(name, 900)], w.latency[fmt.Sprint(name, 901)] = 100*time.Millisecond, 100*time.Millisecond
	w.latency[fmt.Sprint(name, region)] = 10 * time.Millisecond
}

// kill ends all connections to a region, and refuses others until it is revived.
func (w *relays) kill(region int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[region] = true
	for _, c := range w.conns[region] {
		c.Close()
	}
	w.conns[region] = nil
}

func (w *relays) revive(region int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[region] = false
}

// dialAs connects somebody.
func (w *relays) dialAs(name string) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, _, addr string) (net.Conn, error) {
		at, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, err
		}
		region := 899 + int(at.Addr().As4()[3])
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.down[region] {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
		ours, theirs := net.Pipe()
		w.conns[region] = append(w.conns[region], theirs)
		w.serving.Go(func() {
			defer theirs.Close()
			w.serve(tls.Server(theirs, w.tls), name, region)
		})
		return ours, nil
	}
}

func (w *relays) serve(conn net.Conn, name string, region int) {
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	switch {
	case err != nil:
	case strings.HasSuffix(r.URL.Path, "/latency-check"):
		w.mu.Lock()
		latency := w.latency[fmt.Sprint(name, region)]
		w.mu.Unlock()
		time.Sleep(latency)
		conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	default:
		conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"))
		early, _ := in.Peek(in.Buffered())
		w.engines[region].Serve(context.Background(), netio.Blocking(conn, bytes.Clone(early)), relay.Origin{})
	}
}

func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// A traveller is a member with a Host, that notes what comes in.
type traveller struct {
	*Member
	host *client.Host
	mu   sync.Mutex
	got  map[string]bool // guarded by mu
}

func (w *relays) traveller(f *fake, name string, near int) *traveller {
	w.near(name, near)
	m, _ := joined(w.t, f, func(c *Config) { c.Name = name })
	v := &traveller{Member: m, got: make(map[string]bool)}
	var err error
	v.host, err = m.Host(client.HostConfig{
		Base:   client.Config{DialContext: w.dialAs(name), Proxy: noProxy},
		Lookup: func(context.Context, string, string) ([]netip.Addr, error) { return nil, syscall.ENOENT },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { v.host.Close() })
	w.serving.Go(v.listen)
	if _, err := v.host.AwaitHome(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (v *traveller) listen() {
	buf := make([]byte, derp.MaxPacket)
	for {
		msg, err := v.host.Recv(buf)
		if err != nil {
			return
		}
		if msg.Kind == client.MessagePacket {
			v.mu.Lock()
			v.got[string(msg.Packet)] = true
			v.mu.Unlock()
		}
	}
}

func (v *traveller) has(packet string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.got[packet]
}

// exchange sends packets in both directions, one a second, and returns how many of them
// were lost after the first so many seconds.
func exchange(label string, seconds, grace int, a, b *traveller) (lost int) {
	for i := range seconds {
		a.host.Send(b.Self().Key, fmt.Appendf(nil, "%s a %d", label, i))
		b.host.Send(a.Self().Key, fmt.Appendf(nil, "%s b %d", label, i))
		time.Sleep(time.Second)
	}
	time.Sleep(time.Second)
	synctest.Wait()
	for i := grace; i < seconds; i++ {
		if !b.has(fmt.Sprintf("%s a %d", label, i)) {
			lost++
		}
		if !a.has(fmt.Sprintf("%s b %d", label, i)) {
			lost++
		}
	}
	return lost
}

func (v *traveller) wantHomes(t *testing.T, when string, own int, other *traveller, its int) {
	t.Helper()
	p, _ := v.Peer(other.Self().Key)
	if got := v.host.State().Home.Region; got != own || p.Home != its {
		t.Errorf("%s: %s is at %d and takes the other to be at %d, want %d and %d", when, v.Self().Name, got, p.Home, own, its)
	}
}

// moveGrace is how long a move may take, in seconds: 10 until a region is given up, and
// the report that finds another.
const moveGrace = 25

// Two Hosts learn each other's home from the coordinator, and follow each other's moves.
func TestHostsFollowEachOther(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		w := newRelays(t)
		f.setMap(w.derpMap())
		a, b := w.traveller(f, "a", 900), w.traveller(f, "b", 901)
		if lost := exchange("at home", 5, 1, a, b); lost > 0 {
			t.Errorf("%d packets lost", lost)
		}
		a.wantHomes(t, "at first", 900, b, 901)
		b.wantHomes(t, "at first", 901, a, 900)

		w.kill(900)
		if lost := exchange("moved", 60, moveGrace, a, b); lost > 0 {
			t.Errorf("%d packets lost after a has moved", lost)
		}
		b.wantHomes(t, "after a has moved", 901, a, 901)

		w.revive(900)
		w.kill(901)
		if lost := exchange("back", 60, moveGrace, a, b); lost > 0 {
			t.Errorf("%d packets lost after both have moved", lost)
		}
		a.wantHomes(t, "after both have moved", 900, b, 900)
		b.wantHomes(t, "after both have moved", 900, a, 900)

		b.host.Close()
		f.remove(b.Self().Key)
		synctest.Wait()
		if _, known := a.Peer(b.Self().Key); known {
			t.Error("who is gone is known")
		}
	})
}

// While no coordinator can be reached traffic goes on, also when a home moves: what is
// lost is lost by the move.
func TestTrafficWithoutACoordinator(t *testing.T) {
	bubble(t, 2, func(t *testing.T, f *fake) {
		w := newRelays(t)
		f.setMap(w.derpMap())
		a, b := w.traveller(f, "a", 900), w.traveller(f, "b", 901)
		exchange("before", 5, 1, a, b)
		f.replicas[0].kill()
		f.replicas[1].kill()
		if lost := exchange("away", 60, 0, a, b); lost > 0 {
			t.Errorf("%d packets lost while nothing but the coordinators is away", lost)
		}
		w.kill(900)
		if lost := exchange("moved", 300, moveGrace, a, b); lost > 0 {
			t.Errorf("%d packets lost after a has moved without a coordinator", lost)
		}
		a.wantHomes(t, "without a coordinator", 901, b, 901)
		b.wantHomes(t, "without a coordinator", 901, a, 900)
		if s := a.State(); s.Phase != Away || s.ReportPending.IsZero() {
			t.Errorf("state is %+v", s)
		}
		f.replicas[1].revive()
		if lost := exchange("back", 330, 0, a, b); lost > 0 {
			t.Errorf("%d packets lost when the coordinator came back", lost)
		}
		b.wantHomes(t, "when the coordinator is back", 901, a, 901)
	})
}

// A member that starts while no coordinator can be reached finds the others by its state
// file.
func TestAHostOfTheStateFile(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		w := newRelays(t)
		f.setMap(w.derpMap())
		b := w.traveller(f, "b", 901)
		time.Sleep(time.Second)
		w.near("c", 900)
		m, cfg := joined(t, f, func(c *Config) { c.Name = "c" })
		m.Close()
		f.replicas[0].kill()
		m = open(t, cfg)
		host, err := m.Host(client.HostConfig{Base: client.Config{DialContext: w.dialAs("c"), Proxy: noProxy}})
		if err != nil {
			t.Fatal(err)
		}
		defer host.Close()
		if _, err := host.AwaitHome(t.Context()); err != nil {
			t.Fatal(err)
		}
		host.Send(b.Self().Key, []byte("hello"))
		time.Sleep(time.Second)
		synctest.Wait()
		if !b.has("hello") {
			t.Error("b was not found")
		}
	})
}

func TestWhatAHostMayBeGiven(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, _ := joined(t, f)
		for name, cfg := range map[string]client.HostConfig{
			"a key": {Key: key.NewPrivate()}, "an order": {Tailnet: "x"},
			"a report": {ReportHome: func(context.Context, client.Home) error { return nil }},
		} {
			if _, err := m.Host(cfg); err == nil {
				t.Errorf("%s: it is taken", name)
			}
		}
		host, err := m.Host(client.HostConfig{Base: client.Config{Proxy: noProxy}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Host(client.HostConfig{}); err == nil {
			t.Error("a second one is made")
		}
		host.Close()
		again, err := m.Host(client.HostConfig{Base: client.Config{Proxy: noProxy}})
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
		m.Close()
		if _, err := m.Host(client.HostConfig{}); err == nil {
			t.Error("a closed one makes a Host")
		}
	})
}
