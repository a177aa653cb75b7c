package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/behind"
	"github.com/detour-relay/detour/internal/logtest"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/relay"
)

// believing trusts these networks.
func believing(t *testing.T, optional bool, networks ...string) Proxies {
	t.Helper()
	return Proxies{Believed: must(behind.Parse(networks))(t), HeaderOptional: optional}
}

const (
	v1Header = "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"
	v2Header = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"
)

// addrs are where the peers of a relay come from.
func addrs(s *Server) (all []string) {
	for p := range s.config.Relay.Peers {
		all = append(all, p.Addr.String())
	}
	slices.Sort(all)
	return all
}

// wantPeer has a peer of that address log in over a connection that is as it shall be
// when its request begins, and be gone again.
func wantPeer(t *testing.T, s *Server, c net.Conn, header string, want string) {
	t.Helper()
	p := newPeer(s.config.Relay.PublicKey())
	request := strings.Replace(testVectors(t).HTTP.FastStart.Request, "\r\n\r\n", "\r\n"+header+"\r\n", 1)
	send(t, c, append([]byte(request), p.clientInfo()...))
	if _, isTLS := c.(*tls.Conn); isTLS {
		wantBytes(t, c, testVectors(t).HTTP.ReplyFastStart)
	} else {
		wantBytes(t, c, derp.AppendServerKey(nil, s.config.Relay.PublicKey()))
	}
	p.wantServed(t, c)
	if got := addrs(s); len(got) != 1 || got[0] != want {
		t.Errorf("peers come from %s, want %s", got, want)
	}
	c.Close()
	eventually(t, "the peer has left", func() bool { return s.Conns() == 0 })
}

// begun sends what stands before all else on a connection.
func begun(t *testing.T, s *Server, first string) net.Conn {
	t.Helper()
	c := dial(t, s)
	send(t, c, []byte(first))
	return c
}

func secured(t *testing.T, c net.Conn) *tls.Conn {
	t.Helper()
	secure := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	return secure
}

func TestHeadersNameThePeer(t *testing.T) {
	for name, c := range map[string]struct{ first, want string }{
		"v1":      {v1Header, "192.0.2.1:56324"},
		"v1 IPv6": {"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n", "[2001:db8::1]:4711"},
		"v2":      {v2Header, "192.0.2.1:56324"},
		"mapped":  {"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 4711 443\r\n", "192.0.2.1:4711"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Run("TLS", func(t *testing.T) {
				s := start(t, Config{TLS: selfTLS(t), Proxies: believing(t, false, "127.0.0.0/8")})
				wantPeer(t, s, secured(t, begun(t, s, c.first)), "", c.want)
			})
			t.Run("plain", func(t *testing.T) {
				s := start(t, Config{Proxies: believing(t, true, "127.0.0.0/8")})
				wantPeer(t, s, begun(t, s, c.first), "", c.want)
			})
		})
	}
}

// All that a peer can send before the relay has said anything comes in one segment with
// the header, and more than net/http reads at once.
func TestNothingBehindAHeaderIsLost(t *testing.T) {
	v := testVectors(t).HTTP
	s := start(t, Config{Proxies: believing(t, true, "127.0.0.1")})
	p := newPeer(s.config.Relay.PublicKey())
	c := dial(t, s)
	request := strings.Replace(v.FastStart.Request, "\r\n\r\n", "\r\nX-Long: "+strings.Repeat("x", 700)+"\r\n\r\n", 1)
	send(t, c, slices.Concat([]byte(v2Header), []byte(request), p.clientInfo()))
	wantBytes(t, c, derp.AppendServerKey(nil, s.config.Relay.PublicKey()))
	p.wantServed(t, c)
	if got := addrs(s); len(got) != 1 || got[0] != "192.0.2.1:56324" {
		t.Errorf("peers come from %s", got)
	}
}

// A header may come in pieces, each of which a proxy's machine has reasons for.
func TestHeadersInPieces(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t), Proxies: believing(t, false, "127.0.0.1")})
	c := dial(t, s)
	for _, piece := range []string{"P", "ROXY TCP4 192.0.2.1 198", ".51.100.1 56324 443\r", "\n"} {
		send(t, c, []byte(piece))
		time.Sleep(time.Millisecond) // so that they are read one by one, mostly
	}
	wantPeer(t, s, secured(t, c), "", "192.0.2.1:56324")
}

func TestRequestsNameThePeer(t *testing.T) {
	for name, c := range map[string]struct{ header, want string }{
		"X-Forwarded-For":             {"X-Forwarded-For: 198.51.100.9, 192.0.2.1\r\n", "192.0.2.1:0"},
		"Forwarded":                   {"Forwarded: for=\"[2001:db8::1]:4711\";proto=https\r\n", "[2001:db8::1]:4711"},
		"through two":                 {"X-Forwarded-For: 192.0.2.1, 10.0.0.1\r\n", "192.0.2.1:0"},
		"both":                        {"X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n", "192.0.2.1:0"},
		"somebody of our own network": {"X-Forwarded-For: 10.0.0.7\r\n", "10.0.0.7:0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Config{Proxies: believing(t, true, "127.0.0.1", "10.0.0.0/8")})
			wantPeer(t, s, dial(t, s), c.header, c.want)
		})
		t.Run(name+", over TLS", func(t *testing.T) {
			s := start(t, Config{TLS: selfTLS(t), Proxies: believing(t, true, "127.0.0.1", "10.0.0.0/8")})
			wantPeer(t, s, dialTLS(t, s, tls.VersionTLS13), c.header, c.want)
		})
	}
}

// What a peer says of itself counts for nothing.
func TestRequestsOfOthersAreNotBelieved(t *testing.T) {
	lie := "X-Forwarded-For: 192.0.2.66\r\nForwarded: for=192.0.2.66\r\n"
	t.Run("directly", func(t *testing.T) {
		s := start(t, Config{Proxies: believing(t, true, "10.0.0.0/8")})
		c := dial(t, s)
		wantPeer(t, s, c, lie, c.LocalAddr().String())
	})
	t.Run("behind a header", func(t *testing.T) {
		s := start(t, Config{TLS: selfTLS(t), Proxies: believing(t, false, "127.0.0.1")})
		wantPeer(t, s, secured(t, begun(t, s, v2Header)), lie, "192.0.2.1:56324")
	})
	t.Run("without proxies", func(t *testing.T) {
		s := start(t, Config{})
		c := dial(t, s)
		wantPeer(t, s, c, lie, c.LocalAddr().String())
	})
}

// One proxy may stand before another: the outer one is named by the header of the inner.
func TestProxyBehindAProxy(t *testing.T) {
	s := start(t, Config{Proxies: believing(t, false, "127.0.0.1", "192.0.2.0/24")})
	wantPeer(t, s, begun(t, s, v1Header), "X-Forwarded-For: 203.0.113.5\r\n", "203.0.113.5:0")
	wantPeer(t, s, begun(t, s, v1Header), "", "192.0.2.1:56324") // it is a peer itself
}

// What a proxy does for itself is done from its own address, without a word.
func TestProxiesSpeakForThemselves(t *testing.T) {
	for _, first := range []string{behind.Local, "PROXY UNKNOWN\r\n"} {
		for _, optional := range []bool{false, true} {
			s := start(t, Config{Proxies: believing(t, optional, "127.0.0.1")})
			c := begun(t, s, first)
			wantPeer(t, s, c, "", c.LocalAddr().String())
		}
	}
}

func TestWebSocketsHaveTheirAddress(t *testing.T) {
	for name, c := range map[string]struct {
		optional    bool
		first, want string
		header      http.Header
	}{
		"by a header":    {false, v2Header, "192.0.2.1:56324", nil},
		"by the request": {true, "", "192.0.2.7:0", http.Header{"X-Forwarded-For": {"192.0.2.7"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Config{Proxies: believing(t, c.optional, "127.0.0.1")})
			web := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return begun(t, s, c.first), nil
			}}}
			defer web.CloseIdleConnections()
			ws, _, err := websocket.Dial(t.Context(), "ws://"+s.Addr().String()+"/derp", &websocket.DialOptions{HTTPClient: web, Subprotocols: []string{"derp"}, HTTPHeader: c.header})
			if err != nil {
				t.Fatal(err)
			}
			defer ws.CloseNow()
			conn := websocket.NetConn(t.Context(), ws, websocket.MessageBinary)
			p := newPeer(s.config.Relay.PublicKey())
			wantBytes(t, conn, derp.AppendServerKey(nil, s.config.Relay.PublicKey()))
			send(t, conn, p.clientInfo())
			p.wantServed(t, conn)
			if got := addrs(s); len(got) != 1 || got[0] != c.want {
				t.Errorf("peers come from %s, want %s", got, c.want)
			}
		})
	}
}

// logText is a log that several goroutines write.
type logText struct{ logtest.Log }

// Each way to say nothing, or the wrong thing, is closed and counted, and logged once.
func TestRefusedHeaders(t *testing.T) {
	for name, c := range map[string]struct {
		networks string
		plain    bool
		first    string
		leave    bool
		count    func(ProxyRefusals) uint64
		says     string
	}{
		"missing, TLS":      {"127.0.0.1", false, "\x16\x03\x01\x02\x00\x01", false, func(p ProxyRefusals) uint64 { return p.Missing }, "there is no PROXY header"},
		"missing, plain":    {"127.0.0.1", true, "GET /derp HTTP/1.1\r\n", false, func(p ProxyRefusals) uint64 { return p.Missing }, "there is no PROXY header"},
		"malformed":         {"127.0.0.1", false, "PROXY TCP4 peer.example 198.51.100.1 1 2\r\n", false, func(p ProxyRefusals) uint64 { return p.Malformed }, "cannot be read"},
		"huge":              {"127.0.0.1", false, "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", false, func(p ProxyRefusals) uint64 { return p.Malformed }, "65551 bytes"},
		"slow":              {"127.0.0.1", false, "PROXY TCP4 192.0.2.1 ", false, func(p ProxyRefusals) uint64 { return p.Slow }, "timeout"},
		"silent":            {"127.0.0.1", true, "", false, func(p ProxyRefusals) uint64 { return p.Slow }, "timeout"},
		"gone":              {"127.0.0.1", false, "PROXY", true, func(p ProxyRefusals) uint64 { return p.Left }, ""},
		"untrusted, TLS":    {"10.0.0.0/8", false, v1Header, false, func(p ProxyRefusals) uint64 { return p.Unexpected }, "where none is taken"},
		"untrusted v2, TLS": {"10.0.0.0/8", false, v2Header, false, func(p ProxyRefusals) uint64 { return p.Unexpected }, "where none is taken"},
		"untrusted, plain":  {"10.0.0.0/8", true, v1Header, false, func(p ProxyRefusals) uint64 { return p.Unexpected }, "where none is taken"},
		"untrusted v2":      {"10.0.0.0/8", true, v2Header, false, func(p ProxyRefusals) uint64 { return p.Unexpected }, "where none is taken"},
	} {
		t.Run(name, func(t *testing.T) {
			var log logText
			config := Config{Proxies: believing(t, false, c.networks), Logger: slog.New(slog.NewTextHandler(&log, nil)), HandshakeTimeout: time.Hour}
			if c.count(ProxyRefusals{Slow: 1}) == 1 {
				config.HandshakeTimeout = time.Millisecond
			}
			if !c.plain {
				config.TLS = selfTLS(t)
			}
			s := start(t, config)
			for range 2 {
				conn, err := net.Dial("tcp", s.Addr().String())
				if errors.Is(err, syscall.ECONNRESET) {
					continue // closed before the dial had returned
				} else if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(timeout))
				io.WriteString(conn, c.first) // may be too late
				if c.leave {
					conn.Close()
				} else if _, err := conn.Read(make([]byte, 1)); isTimeout(err) {
					t.Error("it is still open")
				}
			}
			eventually(t, "two are counted", func() bool { return c.count(s.Snapshot().Proxies) == 2 })
			eventually(t, "nobody is pending", func() bool { return s.Snapshot().Pending == 0 })
			lines := strings.Count(log.String(), "a proxy's connection is refused")
			if want := min(1, len(c.says)); lines != want || !strings.Contains(log.String(), c.says) {
				t.Errorf("%d lines, want %d with %q:\n%s", lines, want, c.says, log.String())
			}
		})
	}
}

func TestRefusedRequests(t *testing.T) {
	var log logText
	s := start(t, Config{Proxies: believing(t, true, "127.0.0.1"), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, c := range []struct {
		header []string
		status int
		says   string
		want   ProxyRefusals
	}{
		{nil, 400, "does not say whom it brings", ProxyRefusals{Missing: 1}},
		{[]string{"X-Forwarded-For: unknown"}, 400, `"unknown" is no address`, ProxyRefusals{Missing: 1, Malformed: 1}},
		{[]string{"X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.66"}, 400, "name different peers", ProxyRefusals{Missing: 1, Malformed: 1, Contradiction: 1}},
		{[]string{"X-Forwarded-For: "}, 400, "no address", ProxyRefusals{Missing: 1, Malformed: 2, Contradiction: 1}},
	} {
		answer, text := ask(t, s, "GET", "/derp", append(c.header, "Upgrade: DERP")...)
		if got := s.Snapshot().Proxies; answer.StatusCode != c.status || !strings.Contains(text, c.says) || c.status == http.StatusBadRequest && !(&reach.StatusError{Code: c.status, Body: text}).OwnWord() || got != c.want {
			t.Errorf("%q: %d %s, %+v", c.header, answer.StatusCode, text, got)
		}
	}
	if n := strings.Count(log.String(), "refused"); n != 3 {
		t.Errorf("%d lines, want one for each reason:\n%s", n, log.String())
	}
	for _, path := range []string{"/derp/probe", "/", "/generate_204"} { // what proxies look at to see that it is well
		if answer, _ := ask(t, s, "GET", path); answer.StatusCode >= 300 {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
	if answer, _ := ask(t, s, "GET", "/derp"); answer.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("no upgrade: %d", answer.StatusCode)
	}
	if got := s.Snapshot().Proxies; got.Missing != 1 {
		t.Errorf("%+v", got)
	}
}

// The limit is that of peers, not of the proxy that brings them.
func TestLimitsAreThoseOfPeers(t *testing.T) {
	t.Run("by a header", func(t *testing.T) {
		s := start(t, Config{TLS: selfTLS(t), Proxies: believing(t, false, "127.0.0.1"), AcceptPerSecond: 0.001, AcceptBurst: 8})
		from := func(addr string) string { return "PROXY TCP4 " + addr + " 198.51.100.1 1 443\r\n" }
		for range 2 { // a quarter
			wantPeer(t, s, secured(t, begun(t, s, from("192.0.2.1"))), "", "192.0.2.1:1")
		}
		wantEnd(t, begun(t, s, from("192.0.2.1")))
		wantPeer(t, s, secured(t, begun(t, s, from("192.0.2.2"))), "", "192.0.2.2:1")
		if got := s.Snapshot(); got.Rejected != 1 || got.Proxies != (ProxyRefusals{}) {
			t.Errorf("%+v", got)
		}
	})
	t.Run("by the request", func(t *testing.T) {
		s := start(t, Config{Proxies: believing(t, true, "127.0.0.1"), AcceptPerSecond: 0.001, AcceptBurst: 8})
		for range 2 {
			wantPeer(t, s, dial(t, s), "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1:0")
		}
		if answer, text := ask(t, s, "GET", "/derp", "Upgrade: DERP", "X-Forwarded-For: 192.0.2.1"); answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" ||
			!(&reach.StatusError{Code: answer.StatusCode, Body: text}).OwnWord() {
			t.Errorf("%d %s", answer.StatusCode, text)
		}
		wantPeer(t, s, dial(t, s), "X-Forwarded-For: 192.0.2.2\r\n", "192.0.2.2:0")
		if got := s.Snapshot(); got.Rejected != 1 || got.Proxies != (ProxyRefusals{}) {
			t.Errorf("%+v", got)
		}
	})
}

// Other proxies count for who comes from then on.
func TestProxiesAreLive(t *testing.T) {
	s := start(t, Config{})
	c := dial(t, s)
	wantPeer(t, s, c, "X-Forwarded-For: 192.0.2.1\r\n", c.LocalAddr().String())
	change(t, s, Config{Proxies: believing(t, true, "127.0.0.1")})
	wantPeer(t, s, dial(t, s), "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1:0")
	change(t, s, Config{Proxies: believing(t, false, "127.0.0.1")})
	wantPeer(t, s, begun(t, s, v2Header), "X-Forwarded-For: 192.0.2.9\r\n", "192.0.2.1:56324")
	change(t, s, Config{})
	c = dial(t, s)
	wantPeer(t, s, c, "X-Forwarded-For: 192.0.2.1\r\n", c.LocalAddr().String())
}

// startUnix is start at a unix socket.
func startUnix(t *testing.T, config Config) *Server {
	t.Helper()
	config.Relay = must(relay.New(relay.Config{Key: vectorKey(t, "server")}))(t)
	config.Listener = must(net.Listen("unix", filepath.Join(t.TempDir(), "s")))(t)
	s := must(listenOver(config))(t)
	run(t, s)
	return s
}

func dialUnix(t *testing.T, s *Server, first string) net.Conn {
	t.Helper()
	c := must(net.Dial("unix", s.Addr().String()))(t)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(timeout))
	send(t, c, []byte(first))
	return c
}

// Whoever may open a unix socket is believed, and has to say whom it brings.
func TestUnixSocket(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		s := startUnix(t, Config{Proxies: Proxies{HeaderOptional: true}, AcceptPerSecond: 100, MaxConns: 5})
		wantPeer(t, s, dialUnix(t, s, ""), "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1:0")
		wantPeer(t, s, dialUnix(t, s, v1Header), "", "192.0.2.1:56324")
		wantPeer(t, s, dialUnix(t, s, v1Header), "X-Forwarded-For: 192.0.2.66\r\n", "192.0.2.1:56324")
		wantPeer(t, s, dialUnix(t, s, behind.Local), "", "invalid AddrPort")
		p := dialUnix(t, s, "GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nConnection: close\r\n\r\n")
		answer := make([]byte, 12)
		if n, err := p.Read(answer); err != nil || string(answer[:n]) != "HTTP/1.1 400" {
			t.Errorf("%q (%v)", answer[:n], err)
		}
	})
	t.Run("TLS", func(t *testing.T) {
		s := startUnix(t, Config{TLS: selfTLS(t)})
		wantPeer(t, s, secured(t, dialUnix(t, s, v2Header)), "", "192.0.2.1:56324")
		wantEnd(t, dialUnix(t, s, "\x16\x03\x01\x02\x00\x01"))
		if got := s.Snapshot(); got.Proxies.Missing != 1 {
			t.Errorf("%+v", got)
		}
	})
}
