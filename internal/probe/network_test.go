package probe

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/relay"
)

func TestNobodyListens(t *testing.T) {
	checks := checkedNode(t, Config{}, mapNode("900a", closedPort(t), goodCert(t)))
	want(t, checks, "tcp4", Fail, "127.0.0.1 port .*: connection refused", "nothing listens there: start the relay")
	for _, name := range []string{"tls", "probe", "upgrade", "websocket"} {
		want(t, checks, name, Skip, "needs tcp", "")
	}
	want(t, checks, "login", Skip, "needs tcp", "")
	want(t, checks, "large", Skip, "needs tcp", "")
	want(t, checks, "expiry", Skip, "no certificate was seen", "")
}

func TestDNS(t *testing.T) {
	cert := goodCert(t)
	port, _ := startRelay(t, cert, relay.Config{})
	says := func(texts ...string) func(context.Context, string, string) ([]netip.Addr, error) {
		return func(_ context.Context, network, host string) (found []netip.Addr, err error) {
			for _, text := range texts {
				if addr := netip.MustParseAddr(text); addr.Is4() == (network == "ip4") {
					found = append(found, addr)
				}
			}
			if len(found) == 0 {
				err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
			return found, err
		}
	}
	broken := func(context.Context, string, string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "server misbehaving", Name: hostName, IsTemporary: true}
	}
	withAddress := mapNode("900a", port, cert)
	without := mapNode("900a", port, cert)
	without.IPv4, without.IPv6 = "", ""
	spelt := func(hostName, v4 string) *derpmap.Node {
		n := mapNode("900a", port, cert)
		n.HostName, n.IPv4, n.IPv6, n.CertName = hostName, v4, "", ""
		return n
	}
	for _, test := range []struct {
		name   string
		node   *derpmap.Node
		lookup func(context.Context, string, string) ([]netip.Addr, error)
		as     Status
		what   string
		do     string
	}{
		{"other address", withAddress, says("192.0.2.9"), Warn, "the map says 127.0.0.1, the DNS 192.0.2.9",
			"make IPv4 of the node and the A record of relay.test the same"},
		{"no A", withAddress, says("2001:db8::9"), Warn, "the DNS no A record", "the A record"},
		{"no name, but a map", withAddress, says(), Warn, "clients use the map", "publish"},
		{"broken, but a map", withAddress, broken, Warn, "server misbehaving", "name servers of relay.test"},
		{"no name", without, says(), Fail, "no address in the DNS, and the map says none", "correct the node's HostName"},
		{"no name of the DNS, but a map", spelt("relay.test ", "127.0.0.1"), says(), Skip, "white space around it, so it is not looked up", ""},
		{"neither name nor address", spelt("relay.test:443", ""), says(), Fail, "has a port", "write relay.test"},
		{"broken", without, broken, Fail, "server misbehaving", "name servers of relay.test"},
	} {
		t.Run(test.name, func(t *testing.T) {
			checks := checkedNode(t, Config{LookupNetIP: test.lookup}, test.node)
			want(t, checks, "dns", test.as, test.what, test.do)
			if test.as == Fail {
				want(t, checks, "tls", Skip, "needs dns", "")
			}
		})
	}
}

// A node that clients have no way to, whatever the DNS says.
func TestNoFamily(t *testing.T) {
	n := mapNode("900a", 443, nil)
	n.IPv4 = "none"
	checks := checkedNode(t, Config{}, n)
	want(t, checks, "tcp4", Fail, `the map says "none"`, "no client has a way to it")
	want(t, checks, "tcp6", Fail, `the map says "none"`, "no client has a way to it")
	want(t, checks, "upgrade", Skip, "needs tcp", "")
}

func TestProxy(t *testing.T) {
	cert := goodCert(t)
	port, _ := startRelay(t, cert, relay.Config{})
	refusing := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(407) }))
	through := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		far, err := net.Dial("tcp", "127.0.0.1:"+text(port))
		if err != nil {
			return
		}
		defer far.Close()
		near, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer near.Close()
		io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			io.Copy(near, far)
			near.Close()
		}()
		io.Copy(far, rw)
	}))
	by := func(port int) []Check {
		cfg := Config{}
		cfg.Dial.Proxy = func(*http.Request) (*url.URL, error) {
			return &url.URL{Scheme: "http", Host: "127.0.0.1:" + text(port), User: url.UserPassword("u", "secret")}, nil
		}
		return checkedNode(t, cfg, mapNode("900a", 1, cert))
	}
	checks := by(through)
	want(t, checks, "proxy", Warn, "connections go through http://u:xxxxx@127.0.0.1", "add relay.test to NO_PROXY")
	want(t, checks, "tcp4", Skip, "go through the proxy", "")
	want(t, checks, "packet", OK, "there and back", "")
	wantNoOther(t, checks, "proxy")
	want(t, by(refusing), "tls", Fail, "the proxy answers with HTTP status 407", "see HTTPS_PROXY")
	cfg := Config{LookupNetIP: func(_ context.Context, _, host string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}}
	cfg.Dial.Proxy = func(*http.Request) (*url.URL, error) { return nil, errors.New("HTTPS_PROXY: not the URL of a proxy") }
	for _, v4 := range []string{"127.0.0.1", ""} {
		n := mapNode("900a", port, cert)
		n.IPv4 = v4
		checks := checkedNode(t, cfg, n)
		want(t, checks, "proxy", Fail, "cannot be used: HTTPS_PROXY", "correct HTTPS_PROXY")
		want(t, checks, "tls", Skip, "needs proxy", "")
		for _, c := range checks {
			if c.Status == Fail && c.Name != "proxy" {
				t.Errorf("%s fails, too: %s", c.Name, c.Detail)
			}
		}
	}
	cfg = Config{}
	cfg.Dial.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("socks5://127.0.0.1:1080") }
	want(t, checkedNode(t, cfg, mapNode("900a", port, cert)), "tls", Fail, "^proxy socks5://127.0.0.1:1080: only http and https", "see HTTPS_PROXY")
}

// A server that says nothing costs the time of one request, not of each.
func TestRequestsToTheMuteShareATime(t *testing.T) {
	for _, test := range []struct {
		name string
		mute bool
		part time.Duration
	}{{"probe", false, 1}, {"probe", true, 3}, {"upgrade", true, 3}, {"websocket", true, 3}, {"key", true, 1}} {
		cfg := Config{Timeout: time.Hour}
		n := newNode(&target{})
		n.run, n.mute = &run{cfg: cfg}, test.mute
		n.ask(t.Context(), test.name, func(ctx context.Context) Check {
			until, _ := ctx.Deadline()
			if left, most := time.Until(until), cfg.Timeout/test.part; left > most || left < most/2 {
				t.Errorf("%s, mute %v: %v are left, want %v", test.name, test.mute, left, most)
			}
			return Check{Status: Fail, same: saidNothing}
		})
		if !n.mute {
			t.Errorf("%s said nothing, but the node is not mute", test.name)
		}
	}
}

func TestSTUNIsSilent(t *testing.T) {
	t.Parallel()
	cert := goodCert(t)
	port, _ := startRelay(t, cert, relay.Config{})
	socket := must(net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))(t)
	defer socket.Close()
	n := mapNode("900a", port, cert)
	n.STUNPort = socket.LocalAddr().(*net.UDPAddr).Port
	checks := checkedNode(t, Config{}, n)
	want(t, checks, "stun4", Fail, "no answer from UDP 127.0.0.1:"+strconv.Itoa(n.STUNPort), "let UDP port .* or write STUNPort -1")
	wantNoOther(t, checks, "stun4")
	go func() { // some other service
		b := make([]byte, 1500)
		for {
			_, from, err := socket.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			socket.WriteToUDPAddrPort([]byte("hello world"), from)
		}
	}()
	want(t, checkedNode(t, Config{}, n), "stun4", Fail, "does not do so as STUN servers do", "correct the node's STUNPort")
}

// What answers STUN, and says nothing that clients can use.
func TestSTUNAnswersUselessly(t *testing.T) {
	t.Parallel()
	const cookie = "\x21\x12\xa4\x42"
	for name, test := range map[string]struct {
		kind, attributes string // the length between them is added
		as               Status
		want, remedy     string
	}{
		"unauthorized": {"\x01\x11", "\x00\x09\x00\x10\x00\x00\x04\x01Unauthorized", Fail, "does not say who we are: .*error response", "without a login .as TURN wants."},
		"no address":   {"\x01\x01", "", Fail, "does not say who we are: .*no address", "or correct the node.s STUNPort"},
		"IPv6":         {"\x01\x01", "\x00\x20\x00\x14\x00\x02" + strings.Repeat("\x11", 18), Warn, "which is no address of IPv4", "clients learn no address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := must(net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))(t)
			defer socket.Close()
			go func() {
				b := make([]byte, 1500)
				for {
					n, from, err := socket.ReadFromUDPAddrPort(b)
					if err != nil {
						return
					}
					if n >= 20 {
						answer := test.kind + "\x00" + string(rune(len(test.attributes))) + cookie + string(b[8:20]) + test.attributes
						socket.WriteToUDPAddrPort([]byte(answer), from)
					}
				}
			}()
			n := mapNode("900s", 0, nil)
			n.STUNPort, n.STUNOnly = socket.LocalAddr().(*net.UDPAddr).Port, true
			want(t, checkedNode(t, Config{}, n), "stun4", test.as, test.want, test.remedy)
		})
	}
}

func TestSTUNOnly(t *testing.T) {
	t.Parallel()
	n := mapNode("900s", 0, nil)
	n.STUNPort, n.STUNOnly = startSTUN(t), true
	checks := checkedNode(t, Config{}, n)
	want(t, checks, "stun4", OK, "we are", "")
	if len(checks) != 3 {
		t.Errorf("%d checks, want dns, stun4, stun6", len(checks))
	}
	n.IPv4, n.STUNTestIP = "192.0.2.200", "127.0.0.1"
	want(t, checkedNode(t, Config{}, n), "stun4", OK, `^127\.0\.0\.1:`, "")
}

func TestPort80(t *testing.T) {
	t.Parallel()
	cert := goodCert(t)
	port, _ := startRelay(t, cert, relay.Config{})
	answers := func(promised bool, handler http.HandlerFunc) []Check {
		n, cfg := mapNode("900a", port, cert), Config{}
		n.CanPort80 = promised
		if handler != nil {
			cfg.port80 = text(serve(t, nil, handler))
		}
		return checkedNode(t, cfg, n)
	}
	portal := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://portal.test/login", http.StatusFound)
	}
	page := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }
	bare := func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }

	checks := answers(true, nil)
	want(t, checks, "port80", Fail, "does not answer: connection refused", "let TCP port 80 through .* or take CanPort80 out")
	wantNoOther(t, checks, "port80")
	want(t, answers(true, portal), "port80", Fail, `redirect to "http://portal.test/login", with HTTP status 302`,
		"a captive portal stands before this machine")
	want(t, answers(false, portal), "port80", Warn, `redirect to "http://portal.test/login"`, "a captive portal")
	want(t, answers(true, page), "port80", Fail, "HTTP status 200 instead of 204", "answer /generate_204 itself")
	want(t, answers(true, bare), "port80", Fail, "without our challenge", "answer /generate_204 itself")
	want(t, answers(false, nil), "port80", Skip, "nobody says", "")
}
