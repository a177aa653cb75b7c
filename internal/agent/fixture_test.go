package agent

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/agent/usernet"
	"github.com/detour-relay/detour/internal/coord"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/server"
	"github.com/detour-relay/detour/tailnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits for what must happen.
const patience = 2 * time.Minute

// testRelay is one that can be restarted at its port.
type testRelay struct {
	t    testing.TB
	dir  string
	addr string
	pin  string
	stop func()
}

func startRelay(t testing.TB) *testRelay {
	t.Helper()
	r := &testRelay{t: t, dir: t.TempDir(), addr: "127.0.0.1:0"}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *testRelay) start() {
	r.t.Helper()
	s, err := server.Open(server.Config{Listen: r.addr, Hostname: "127.0.0.1", StateDir: r.dir, STUN: "off", Drain: -1})
	if err != nil {
		r.t.Fatal(err)
	}
	u, err := url.Parse(s.URL())
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr, r.pin = u.Host, s.Pin()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	})
}

func (r *testRelay) derpMap() *derpmap.Map {
	_, port, _ := net.SplitHostPort(r.addr)
	n, _ := strconv.Atoi(port)
	return &derpmap.Map{Regions: map[int]*derpmap.Region{901: {RegionID: 901, RegionCode: "one", RegionName: "One", Nodes: []*derpmap.Node{
		{Name: "901a", RegionID: 901, HostName: "127.0.0.1", IPv4: "127.0.0.1", CertName: r.pin, DERPPort: n, STUNPort: -1},
	}}}}
}

// testCoordinator is a real one.
type testCoordinator struct {
	t      testing.TB
	server *httptest.Server
	invite string
	stop   func()

	side *httptest.Server // another door to it
	deaf atomic.Bool      // whoever comes by the side is told nothing any more

	mu    sync.Mutex
	conns []net.Conn // guarded by mu: those to the side
}

func startCoordinator(t testing.TB, m *derpmap.Map) *testCoordinator {
	t.Helper()
	c := &testCoordinator{t: t}
	s, err := coord.New(coord.Config{Store: coordstore.NewMemory(), Contacts: func() []coordapi.Contact {
		return []coordapi.Contact{{URL: c.server.URL}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	mux := http.NewServeMux()
	mux.Handle(coordapi.PathAdmin, s.AdminHandler())
	mux.Handle("/", s.Handler())
	c.server = httptest.NewUnstartedServer(mux)
	c.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.server.Start()
	c.side = httptest.NewServer(c.besides(mux))
	c.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		for _, s := range []*httptest.Server{c.server, c.side} {
			s.CloseClientConnections()
			s.Close()
		}
	})
	t.Cleanup(func() { c.stop() })
	eventually(t, "the coordinator is ready", func() bool { return s.Ready() == nil })
	if err := s.SetMap(m, "the test"); err != nil {
		t.Fatal(err)
	}
	home, err := s.CreateTailnet(ctx, "home")
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.Invite(ctx, home.ID, coordapi.NewInvite{Uses: 1000})
	if err != nil {
		t.Fatal(err)
	}
	c.invite = made.Text
	return c
}

// besides has no streams for those that are to hear nothing.
func (c *testCoordinator) besides(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == coordapi.PathWatch && c.deaf.Load() {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// deafen has those at the side be told of nobody any more.
func (c *testCoordinator) deafen() {
	c.deaf.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}

// bySide has a member come to the side.
func (c *testCoordinator) bySide(ctx context.Context, network, _ string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, c.side.Listener.Addr().String())
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *testCoordinator) expel(name string) {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodDelete, c.server.URL+coordapi.PathAdmin+"tailnets/home/members/"+name, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if answer.StatusCode != http.StatusOK {
		c.t.Fatal(answer.Status)
	}
}

// machine is an agent with a network within the process.
type machine struct {
	*Agent
	net *usernet.Network
}

func newMachine(t testing.TB, dir, name, invite string) *machine {
	t.Helper()
	return openMachine(t, tailnet.Config{StateFile: filepath.Join(dir, name+".json"), Name: name, Invite: invite})
}

func openMachine(t testing.TB, member tailnet.Config) *machine {
	t.Helper()
	network, err := usernet.New(1280)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), Config{Member: member, Network: network, Logger: slog.New(slog.DiscardHandler), RelayOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return &machine{a, network}
}

func (m *machine) addr() netip.Addr { return m.member.Self().Addresses[0] }

// echo sends back what comes to port 7.
func (m *machine) echo(t testing.TB) {
	t.Helper()
	l, err := m.net.ListenTCP(netip.AddrPortFrom(netip.IPv6Unspecified(), 7))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { io.Copy(c, c); c.Close() })
		}
	})
	t.Cleanup(func() { m.Close(); l.Close(); running.Wait() })
}

// dial connects to the port of another that echoes.
func (m *machine) dial(t testing.TB, to netip.Addr) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := m.net.DialTCP(ctx, netip.AddrPortFrom(to, 7))
	if err != nil {
		t.Fatalf("%v: %s", err, m.describe())
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// says sends a text that has to come back.
func says(t testing.TB, c net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("%q came back, %v", got, err)
	}
}

func (m *machine) describe() string {
	s, err := m.Status()
	return fmt.Sprintf("%+v %v", s, err)
}

// knows waits until the device has so many peers, and the coordinator has told all.
func (m *machine) knows(t testing.TB, peers int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has %d peers", m.member.Self().Name, peers), func() bool {
		config, err := m.device.IpcGet()
		return err == nil && strings.Count(config, "public_key=") == peers
	})
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never comes about that %s", what)
		}
	}
}
