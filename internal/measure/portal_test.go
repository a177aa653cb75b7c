package measure

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/home"
)

// portNet is port 80 of a world: what answers there, for each address, and who was
// asked. A host without an answer refuses.
type portNet struct {
	mu      sync.Mutex
	answers map[string]func(conn net.Conn, request *http.Request)
	asked   []string
}

func (p *portNet) dial(_ context.Context, network, address string) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	host, port, _ := net.SplitHostPort(address)
	p.asked = append(p.asked, host)
	answer := p.answers[host]
	if answer == nil || network != "tcp" || port != "80" {
		return nil, errNoRoute
	}
	ours, theirs := net.Pipe()
	go func() { // ends with the connection: a bubble has to be empty at its end
		defer theirs.Close()
		request, err := http.ReadRequest(bufio.NewReader(theirs))
		if err == nil {
			answer(theirs, request)
		}
	}()
	return ours, nil
}

// relay answers as one does.
func relay(conn net.Conn, request *http.Request) {
	fmt.Fprintf(conn, "HTTP/1.1 204 No Content\r\nX-Tailscale-Response: response %s\r\n\r\n", request.Header.Get("X-Tailscale-Challenge"))
}

func says(text string) func(net.Conn, *http.Request) {
	return func(conn net.Conn, _ *http.Request) { io.WriteString(conn, text) }
}

// silent answers nothing until the connection is closed.
func silent(conn net.Conn, _ *http.Request) { io.Copy(io.Discard, conn) }

// endless begins an answer that never ends.
func endless(conn net.Conn, _ *http.Request) {
	io.WriteString(conn, "HTTP/1.1 204 No Content\r\n")
	for i := 0; ; i++ {
		if _, err := fmt.Fprintf(conn, "X-%d: y\r\n", i); err != nil {
			return
		}
	}
}

// portalRegions have a relay at each of the hosts, with IDs from 1.
func portalRegions(hosts ...string) (regions []home.Region) {
	for i, host := range hosts {
		regions = append(regions, home.Region{ID: i + 1, Nodes: []home.Node{{HostName: "r.example", IPv4: host, CanPort80: true}}})
	}
	return regions
}

// search makes a report without UDP, and returns also how long it took.
func (p *portNet) search(t *testing.T, q home.Questions) (Result, time.Duration) {
	t.Helper()
	n := newNetwork(t)
	cfg := n.config()
	cfg.NoUDP, cfg.DialContext = true, p.dial
	return measuring(t, n, cfg, q)
}

func TestCaptivePortal(t *testing.T) {
	const login = "<html>Pay here"
	for _, test := range []struct {
		name  string
		first func(net.Conn, *http.Request)
		found bool
		took  time.Duration
	}{
		{"nothing answers", nil, false, 200 * ms},
		{"a relay", relay, false, 200 * ms},
		{"a page", says("HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + login), true, 200 * ms},
		{"an endless page", says("HTTP/1.1 200 OK\r\n\r\n" + login), true, 200 * ms},
		{"a redirect", says("HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n"), true, 200 * ms},
		{"204 without the challenge", says("HTTP/1.1 204 No Content\r\n\r\n"), true, 200 * ms},
		{"204 with another's challenge", says("HTTP/1.1 204 No Content\r\nX-Tailscale-Response: response ts_192.0.2.9\r\n\r\n"), true, 200 * ms},
		{"nothing is said", silent, false, 3200 * ms},
		{"no HTTP", says("SSH-2.0-OpenSSH\r\n"), false, 200 * ms},
		{"an end", says(""), false, 200 * ms},
		{"a header without end", endless, false, 200 * ms},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &portNet{answers: map[string]func(net.Conn, *http.Request){"192.0.2.1": test.first}}
			got, took := p.search(t, home.Questions{Full: true, Regions: portalRegions("192.0.2.1")})
			if got.CaptivePortal != test.found || took != test.took {
				t.Errorf("portal %t after %v, want %t after %v", got.CaptivePortal, took, test.found, test.took)
			}
		})
	}
}

// One that something else answers for is enough, and the others are not waited for.
func TestOnePortalIsEnough(t *testing.T) {
	p := &portNet{answers: map[string]func(net.Conn, *http.Request){
		"192.0.2.1": relay, "192.0.2.2": silent, "192.0.2.3": says("HTTP/1.1 200 OK\r\n\r\n"),
	}}
	got, took := p.search(t, home.Questions{Full: true, Regions: portalRegions("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")})
	if !got.CaptivePortal || took != 200*ms {
		t.Errorf("portal %t after %v, want one after 200 ms", got.CaptivePortal, took)
	}
}

func TestPortalRequest(t *testing.T) {
	var got *http.Request
	p := &portNet{answers: map[string]func(net.Conn, *http.Request){"192.0.2.1": func(conn net.Conn, request *http.Request) {
		got = request
		relay(conn, request)
	}}}
	p.search(t, home.Questions{Full: true, Regions: portalRegions("192.0.2.1")})
	if got == nil {
		t.Fatal("nobody was asked")
	}
	// Fake time begins at 2000-01-01.
	if got.Method != "GET" || got.Host != "192.0.2.1" || got.RequestURI != "/generate_204?t=946684800" {
		t.Errorf("%s %s of %s", got.Method, got.RequestURI, got.Host)
	}
	if got.Header.Get("Cache-Control") != noCache || got.Header.Get("X-Tailscale-Challenge") != "ts_192.0.2.1" {
		t.Errorf("headers %v", got.Header)
	}
}

func TestWhoIsAskedForAPortal(t *testing.T) {
	regions := portalRegions("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.7",
		"", "none", "2001:db8::1", "::ffff:192.0.2.1", "r.example")
	regions[1].Avoid = true
	regions[2].NoMeasureNoHome = true
	regions[3].Nodes[0].CanPort80 = false
	regions[6].Nodes = append(regions[6].Nodes, home.Node{IPv4: "192.0.2.8", CanPort80: true})
	for _, test := range []struct {
		full bool
		home int
		want string
	}{
		{true, 0, "192.0.2.1 192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8"},
		{true, 7, "192.0.2.1 192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8"},
		{false, 0, ""},
	} {
		p := &portNet{}
		q := home.Questions{Full: test.full, Home: test.home, Regions: regions, Last: &home.Report{}}
		p.search(t, q)
		slices.Sort(p.asked)
		if got := strings.Join(p.asked, " "); got != test.want {
			t.Errorf("home %d, full %t: asked %s, want %s", test.home, test.full, got, test.want)
		}
	}
	if got := portalHosts(home.Questions{Regions: regions, Home: 7})[:2]; !reflect.DeepEqual(got, []string{"192.0.2.7", "192.0.2.8"}) {
		t.Errorf("%v are asked first, want those of home", got)
	}
	if got := portalHosts(home.Questions{Regions: portalRegions("1.0.0.1", "1.0.0.2", "1.0.0.3", "1.0.0.4", "1.0.0.5", "1.0.0.6")}); len(got) != 5 {
		t.Errorf("%v are asked, want five", got)
	}
}

// A STUN answer shows that nothing is in the way, whatever else answers.
func TestPortalIsForgottenWhenUDPWorks(t *testing.T) {
	for _, test := range []struct {
		latency time.Duration
		asked   int
	}{{30 * ms, 0}, {250 * ms, 1}} {
		n := newNetwork(t)
		regions := []home.Region{n.add(1, test.latency)}
		regions = append(regions, portalRegions("192.0.2.1")[0])
		regions[1].ID, regions[1].Nodes[0].STUNPort = 2, -1
		p := &portNet{answers: map[string]func(net.Conn, *http.Request){"192.0.2.1": says("HTTP/1.1 200 OK\r\n\r\n")}}
		cfg := n.config()
		cfg.DialContext = p.dial
		got, took := measuring(t, n, cfg, home.Questions{Full: true, Have: v4, Regions: regions})
		if got.CaptivePortal || len(p.asked) != test.asked || took != test.latency {
			t.Errorf("portal %t, %d asked, after %v", got.CaptivePortal, len(p.asked), took)
		}
	}
}

// A silent relay is not waited for once STUN has answered.
func TestPortalSearchEndsWithTheReport(t *testing.T) {
	n := newNetwork(t)
	regions := append([]home.Region{n.add(1, 400*ms)}, portalRegions("192.0.2.1")[0])
	regions[1].ID, regions[1].Nodes[0].STUNPort = 2, -1
	p := &portNet{answers: map[string]func(net.Conn, *http.Request){"192.0.2.1": silent}}
	cfg := n.config()
	cfg.DialContext = p.dial
	if got, took := measuring(t, n, cfg, home.Questions{Full: true, Have: v4, Regions: regions}); took != 400*ms || !got.UDP {
		t.Errorf("%+v after %v, want 400 ms", got.Report, took)
	}
}
