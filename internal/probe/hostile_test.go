package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
)

// serveConns plays a script for each connection until the test ends.
func serveConns(t *testing.T, play func(net.Conn)) (port int) {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	var mu sync.Mutex
	var conns []net.Conn
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			work.Go(func() {
				defer conn.Close()
				play(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	return portOf(listener.Addr())
}

// forever writes the same again and again, as long as somebody reads.
func forever(w io.Writer, b []byte) {
	for {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

// Whatever is there, the checks end, and say what it is.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	cert := goodCert(t)
	over := func(play func(net.Conn)) func(net.Conn) {
		return func(conn net.Conn) {
			c := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*cert}})
			if c.Handshake() == nil {
				// Not before there is a request: what comes earlier is told apart by
				// net/http now and then, and is another test's.
				c.Read(make([]byte, 4096))
				play(c)
			}
		}
	}
	endless := strings.Repeat("x", 64<<10)
	for _, test := range []struct {
		name  string
		play  func(net.Conn)
		check string // that fails
		want  string
	}{
		{"silence", func(conn net.Conn) { io.Copy(io.Discard, conn) }, "tls", "no answer to the TLS handshake"},
		{"noise", func(conn net.Conn) { forever(conn, []byte(endless)) }, "tls", "does not speak TLS"},
		{"ends", func(net.Conn) {}, "tls", "closed in the TLS handshake"},
		{"silence after TLS", over(func(conn net.Conn) { io.Copy(io.Discard, conn) }), "probe", "shakes hands, but answers no request"},
		{"noise after TLS", over(func(conn net.Conn) { forever(conn, []byte(endless)) }), "upgrade", "."},
		{"endless header", over(func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			forever(conn, []byte("A: "+endless+"\r\n"))
		}), "upgrade", "."},
		{"endless body", over(func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); forever(conn, []byte(endless)) }),
			"upgrade", "a page answers there"},
		{"slow body", over(func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
			io.Copy(io.Discard, conn)
		}), "upgrade", "a page answers there"},
		{"nothing behind 101", over(func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 101 S\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n")
			io.Copy(io.Discard, conn)
		}), "upgrade", "no answer|no greeting"},
		{"noise behind 101", over(func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 101 S\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n")
			forever(conn, []byte(endless))
		}), "upgrade", "instead of the greeting"},
		{"zeros behind 101", over(func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 101 S\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n")
			forever(conn, make([]byte, 4096))
		}), "upgrade", "instead of the greeting"},
		{"half a greeting", over(func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 101 S\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n")
			conn.Write(derp.AppendServerKey(nil, key.NewPrivate().Public())[:20])
		}), "upgrade", "half a greeting"},
		{"closed", over(func(net.Conn) {}), "upgrade", "closed instead of an answer"},
		{"HTTP/0.9", over(says("<html><body>hello</body></html>\n")), "upgrade", "speaks HTTP/0.9"},
		{"SSH", over(says("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")), "upgrade", `speaks SSH, not HTTP/1.1; it begins with "SSH-2.0`},
		{"mail", over(says("220 mail.example.com ESMTP Postfix\r\n")), "upgrade", "SMTP"},
		{"a database", over(says("J\x00\x00\x00\x0a8.0.36\x00")), "upgrade", "does not speak HTTP/1.1"},
		{"Redis", over(says("-ERR unknown command 'GET'\r\n")), "upgrade", "speaks Redis"},
		{"HTTP/2 only", over(says("\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d")), "upgrade", "speaks HTTP/2"},
		{"interim answers", over(func(conn net.Conn) { forever(conn, []byte("HTTP/1.1 100 Continue\r\n\r\n")) }),
			"upgrade", "interim HTTP answers"},
		{"a page to all", over(says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")), "upgrade", "a page answers there$"},
		{"a page with a reason", over(says("HTTP/1.1 400 x\r\nContent-Length: 92\r\n\r\n<html><head><title>400 No required SSL " +
			"certificate was sent</title></head><body>no</body></html>")), "upgrade", `it says "400 No required SSL certificate was sent"`},
		{"redirect to itself", over(says("HTTP/1.1 301 x\r\nLocation: https://relay.test/derp\r\nContent-Length: 0\r\n\r\n")),
			"upgrade", "301, a redirect to"},
		{"101 to all, closed", over(says("HTTP/1.1 101 x\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n")),
			"upgrade", "101, but no greeting of a relay behind it: EOF"},
		{"101 to all", over(func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 101 x\r\n\r\n")
			io.Copy(io.Discard, conn)
		}), "upgrade", `101, but no greeting of a relay behind it \(it is for ""\)`},
		{"101 in both accents", over(func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 101 S\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
			io.Copy(io.Discard, conn)
		}), "upgrade", "."},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := mapNode("900a", serveConns(t, test.play), cert)
			checks := checkedNode(t, Config{Timeout: brief}, n)
			want(t, checks, test.check, Fail, test.want, ".")
			inOurWords(t, checks)
			if strings.HasSuffix(test.name, " all") || strings.HasPrefix(test.want, "speaks") {
				wantNoOther(t, checks, test.check)
			}
		})
	}
}

// inOurWords wants no text of a library's, and none of a formatter that lacked a
// value.
func inOurWords(t *testing.T, checks []Check) {
	t.Helper()
	for _, c := range checks {
		for _, text := range []string{"%!", "net/http", "WebSocket dial", "handshake request", "malformed HTTP"} {
			if strings.Contains(c.Detail+c.Remedy, text) {
				t.Errorf("%s: %q, %q", c.Name, c.Detail, c.Remedy)
			}
		}
	}
}

func says(text string) func(net.Conn) {
	return func(conn net.Conn) { io.WriteString(conn, text) }
}

// What is said before there is a request is what there is to go by.
func TestServersThatSpeakFirst(t *testing.T) {
	for greeting, named := range map[string]string{
		"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n":             "speaks SSH",
		"220 mail.example.com ESMTP\r\n":                 "SMTP",
		"* OK [CAPABILITY IMAP4rev1] ready.\r\n":         "IMAP",
		"+OK POP3 ready\r\n":                             "POP3",
		"RFB 003.008\n":                                  "VNC",
		"J\x00\x00\x00\x0a8.0.36\x00":                    "does not speak HTTP/1.1",
		"garbage here\r\n":                               "does not speak HTTP/1.1",
		"HTTP/1.1 408 Request Timeout\r\n\r\n":           "HTTP status 408",
		"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n": "HTTP status 503",
	} {
		t.Run(named, func(t *testing.T) {
			t.Parallel()
			port := serveConns(t, func(conn net.Conn) {
				io.WriteString(conn, greeting)
				io.Copy(io.Discard, conn)
			})
			checks := checked(t, Config{Dial: urlOf("http", port)}).Regions[0].Nodes[0].Checks
			want(t, checks, "upgrade", Fail, named, ".")
			wantNoOther(t, checks, "upgrade")
			inOurWords(t, checks)
		})
	}
}

// A server that wants a certificate of everybody says so after the handshake, in TLS
// 1.3.
func TestAsksForACertificate(t *testing.T) {
	cert := goodCert(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		port := serveConns(t, func(conn net.Conn) {
			c := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: version})
			c.Handshake()
			io.Copy(io.Discard, conn)
		})
		checks := checkedNode(t, Config{}, mapNode("900a", port, cert))
		want(t, checks, "tls", Fail, "", "nobody for")
		wantNoOther(t, checks, "tls")
	}
}

// A relay that floods whom it has admitted does not make the checks hang or grow.
func TestRelayFloods(t *testing.T) {
	s := newScript()
	s.packet = func(src, dst key.Public, data []byte) (key.Public, []byte) { return src, data }
	s.pong = func(data [derp.PingLen]byte) []byte {
		b := make([]byte, 0, 8<<20)
		for range 100 {
			b = derp.AppendRecvPacket(b, s.key.Public(), make([]byte, derp.MaxPacket))
		}
		return derp.AppendPong(b, data)
	}
	want(t, startScript(t, s)(Config{}), "packet", OK, "there and back", "")
}

// Texts of servers come out in one line without control characters.
func TestTextsOfServers(t *testing.T) {
	s := newScript()
	s.http = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Location", "http://portal.test/\x1b[2J"+strings.Repeat("a", 5000))
		w.WriteHeader(302)
		return true
	}
	for _, c := range startScript(t, s)(Config{}) {
		if strings.ContainsAny(c.Detail+c.Remedy, "\x1b\n\r") || len(c.Detail) > 4*maxLine {
			t.Errorf("%s: %q", c.Name, c.Detail)
		}
	}
	if got := line("a\x1b[2J\r\nb\u202ec\xff"); got != "a [2J b c\ufffd" {
		t.Errorf("%q", got)
	}
}

// When the time of the whole run is over, what was not asked is skipped, and Run
// says so.
func TestTimeIsOver(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	port := serveConns(t, func(conn net.Conn) {
		conn.Read(make([]byte, 1)) // the TLS handshake has begun
		cancel(context.DeadlineExceeded)
		io.Copy(io.Discard, conn)
	})
	cfg := Config{Map: mapOf(mapNode("900a", port, goodCert(t))), LookupNetIP: loopback, port80: "1"}
	cfg.Dial.Proxy = noProxy
	report, err := Run(ctx, cfg)
	if !errors.Is(err, ErrUnfinished) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want ErrUnfinished", err)
	}
	want(t, all(report), "tls", Skip, "the time was over", "")
	want(t, all(report), "upgrade", Skip, "the time was over", "")
}

func TestConfig(t *testing.T) {
	m := mapOf(mapNode("900a", 1, nil))
	var none *NoneError
	for name, cfg := range map[string]Config{
		"nothing to check":     {},
		"two things to check":  {Map: m, Dial: urlOf("http", 1)},
		"a region of a URL":    {Dial: urlOf("http", 1), Region: "tst"},
		"not a URL of a relay": {Dial: clientURL("ftp://relay.test")},
		"not a URL":            {Dial: clientURL("https://u:hunter2@re lay.test/derp")},
		"port 99999":           {Dial: clientURL("https://u:hunter2@relay.test:99999/derp")},
		"a wildcard":           {Dial: clientURL("https://*.relay.test/derp")},
		"an IDN":               {Dial: clientURL("https://b\u00fccher.example/derp")},
		"negative":             {Map: m, Timeout: -1},
		"no such region":       {Map: m, Region: "901"},
		"no such node":         {Map: m, Region: "TST", Node: "900b"},
		"an empty map":         {Map: &derpmap.Map{}},
	} {
		_, err := Run(t.Context(), cfg)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if text := err.Error(); strings.Count(text, "://") > 1 && name != "not a URL of a relay" || strings.Contains(text, "hunter") {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(name, "no such") && (!errors.As(err, &none) || len(none.Nodes) != 1 || none.Nodes[0] != "tst/900a") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMapFindings(t *testing.T) {
	m := mapOf(mapNode("900a", closedPort(t), nil))
	report := checked(t, Config{Map: m, Findings: []derpmap.Finding{
		{Severity: derpmap.Warning, Code: "w", Line: 1, Column: 2, Path: "Regions.900", Message: "odd", Remedy: "even it out"},
		{Severity: derpmap.Error, Code: "e", Line: 3, Column: 4, Path: "Regions.900", Message: "wrong"},
	}})
	if len(report.Map) != 2 || report.Map[0].Detail != "3:4: Regions.900: wrong [e]" || report.Map[0].Status != Fail ||
		report.Map[1].Remedy != "even it out" || report.Map[1].Status != Warn {
		t.Errorf("%+v", report.Map)
	}
}

func TestOffline(t *testing.T) {
	n := newNode(&target{})
	if n.hasRoute() {
		t.Error("a node without addresses has a route")
	}
	r := &run{regions: []*region{{nodes: []*node{n}}}}
	if got := r.offline(); got == online() {
		t.Errorf("offline: %v, where none of the relays has an address and online is %v", got, online())
	}
}

// usableByAddress are oddities of a name that is not needed.
var usableByAddress = map[string]bool{
	"no host": true, "a space": true, "a URL": true, "brackets": true, "a zone": true, "a port": true, "control bytes": true,
}

// Whatever a map says of a node, there is an outcome, and it is not that all is
// well.
func TestOddNodes(t *testing.T) {
	port := serve(t, goodCert(t), newScript())
	for name, change := range map[string]func(*derpmap.Node){
		"no host":       func(n *derpmap.Node) { n.HostName = "" },
		"a space":       func(n *derpmap.Node) { n.HostName = "relay test" },
		"a URL":         func(n *derpmap.Node) { n.HostName = "https://relay.test/derp" },
		"brackets":      func(n *derpmap.Node) { n.HostName = "[::1]" },
		"a zone":        func(n *derpmap.Node) { n.HostName = "fe80::1%lo" },
		"a port":        func(n *derpmap.Node) { n.HostName = "relay.test:443" },
		"control bytes": func(n *derpmap.Node) { n.HostName, n.Name = "re\x00lay\r\n.test", "900\x1b[2Ja" },
		"no such port":  func(n *derpmap.Node) { n.DERPPort = 70000 },
		"negative port": func(n *derpmap.Node) { n.DERPPort = -1 },
		"no such pin":   func(n *derpmap.Node) { n.CertName = "sha256-raw:12" },
		"no address":    func(n *derpmap.Node) { n.IPv4 = "nowhere" },
		"no such STUN":  func(n *derpmap.Node) { n.STUNPort = 70000 },
		"odd test IP":   func(n *derpmap.Node) { n.STUNTestIP, n.STUNPort, n.DERPPort = "nowhere", 0, closedPort(t) },
	} {
		t.Run(name, func(t *testing.T) {
			n := mapNode("900a", port, nil)
			n.InsecureForTests = true
			change(n)
			report := checked(t, Config{Map: mapOf(n, nil)})
			named := usableByAddress[name]
			if report.Status != Fail && !named || report.Status == OK || strings.ContainsAny(report.Regions[0].Nodes[0].Name, "\x1b\x00") {
				t.Errorf("%s: %+v", report.Status, all(report))
			}
		})
	}
}
