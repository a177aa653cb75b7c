package edge

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/behind"
	"github.com/detour-relay/detour/internal/logtest"
	"github.com/detour-relay/detour/internal/sni"
)

// A neighbour is another server that shares the relay's port.
type neighbour struct {
	*httptest.Server
	roots *x509.CertPool
}

// newNeighbour runs a server of TLS with HTTP/2 for git.test and all beneath it.
func newNeighbour(t *testing.T, handler http.HandlerFunc) *neighbour {
	t.Helper()
	secret := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"git.test", "*.git.test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret))(t)
	n := &neighbour{Server: httptest.NewUnstartedServer(handler), roots: x509.NewCertPool()}
	n.roots.AddCert(must(x509.ParseCertificate(der))(t))
	n.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: secret}}}
	n.EnableHTTP2 = true
	n.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	n.StartTLS()
	t.Cleanup(n.Close)
	return n
}

func (n *neighbour) addr() string { return n.Listener.Addr().String() }

// sharing are rules: names to addresses, and what becomes of others.
func sharing(t *testing.T, names map[string]string, unknown, none string, own ...string) *sni.Rules {
	t.Helper()
	c := sni.Config{Own: own, Names: must(sni.ParseNames(names))(t)}
	c.Unknown = must(sni.ParseChoice(unknown, "unknown"))(t)
	c.None = must(sni.ParseChoice(none, "none"))(t)
	return must(sni.New(c))(t)
}

// visit is a client of a neighbour behind the relay's port.
func visit(t *testing.T, s *Server, n *neighbour, first string) *http.Client {
	t.Helper()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: n.roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr().String())
			if err == nil && first != "" {
				_, err = io.WriteString(c, first)
			}
			return c, err
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: timeout}
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// echo sends back what a request brings, with where it comes from.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("From", r.RemoteAddr)
	w.Header().Set("Proto", r.Proto)
	w.Write(body)
}

// A name of somebody else gets his certificate and his answers, over HTTP/2 as over 1.1;
// the relay's peers come in beside it.
func TestForeignNamesArePassedOn(t *testing.T) {
	n := newNeighbour(t, echo)
	s := start(t, Config{TLS: selfTLS(t), SNI: sharing(t, map[string]string{"git.test": n.addr(), "*.git.test": n.addr()}, sni.Close, "", "relay.test")})
	client := visit(t, s, n, "")
	body := noise(200_000)
	for _, name := range []string{"git.test", "GIT.test", "a.git.test"} {
		answer := must(client.Post("https://"+name+"/", "", bytes.NewReader(body)))(t)
		got := must(io.ReadAll(answer.Body))(t)
		if answer.Body.Close(); !bytes.Equal(got, body) || answer.Header.Get("Proto") != "HTTP/2.0" {
			t.Errorf("%s: %d bytes over %s, want %d", name, len(got), answer.Header.Get("Proto"), len(body))
		}
	}
	wantServedAs(t, s, "") // who dials an address asks for no name
	wantServedAs(t, s, "relay.test")
	c := tls.Client(dial(t, s), &tls.Config{ServerName: "other.test", InsecureSkipVerify: true})
	if err := c.Handshake(); err == nil || strings.Contains(err.Error(), "remote error") {
		t.Errorf("an unknown name: %v, want the end of the connection without a word", err)
	}
	client.CloseIdleConnections()
	eventually(t, "nothing is passed on any more", func() bool { return s.Snapshot().SNI.Open == 0 && s.Foreign() == 0 && s.Snapshot().Pending == 0 })
	got := s.Snapshot()
	if got.SNI.Passed < 3 || got.SNI.Refused.Unknown != 1 || got.SNI.BytesIn < 600_000 || got.SNI.BytesOut < 600_000 || got.TLS13 != 2 {
		t.Errorf("%+v", got)
	}
	sum := got.Rejected + got.Full + got.TLS12 + got.TLS13 + got.SNI.Passed + got.SNI.Refused.Unknown
	if f := got.HandshakeFailures; got.Accepted != sum+f.Timeout+f.Left+f.NotTLS+f.Alert+f.Mismatch+f.Cut {
		t.Errorf("accepted %d is not the sum of all: %+v", got.Accepted, got)
	}
}

// wantServedAs has a peer log in that asks for a name, and leave.
func wantServedAs(t *testing.T, s *Server, name string) {
	t.Helper()
	servedAs(t, s, name).Close()
}

func servedAs(t *testing.T, s *Server, name string) net.Conn {
	t.Helper()
	c := tls.Client(dial(t, s), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	p := newPeer(s.config.Relay.PublicKey())
	send(t, c, append([]byte(testVectors(t).HTTP.FastStart.Request), p.clientInfo()...))
	wantBytes(t, c, testVectors(t).HTTP.ReplyFastStart)
	p.wantServed(t, c)
	return c
}

// What a connection begins with decides: no name, an unknown one, and what is no TLS.
func TestWithoutAKnownName(t *testing.T) {
	n := newNeighbour(t, echo)
	r, secure := testRelay(t), selfTLS(t)
	for _, c := range []struct {
		unknown, none string
		name          string
		want          string // whose certificate; empty: the connection ends
	}{
		{"", "", "", "127.0.0.1"}, {"", "", "x.test", "127.0.0.1"},
		{sni.Close, sni.Close, "", ""}, {sni.Close, sni.Close, "x.test", ""},
		{sni.Answer, sni.Close, "x.test", "127.0.0.1"}, {sni.Close, sni.Answer, "", "127.0.0.1"},
		{n.addr(), sni.Close, "x.test", "git.test"}, {sni.Close, n.addr(), "", "git.test"},
		{n.addr(), n.addr(), "relay.test", "127.0.0.1"},
	} {
		s := start(t, Config{Relay: r, TLS: secure, SNI: sharing(t, nil, c.unknown, c.none, "relay.test")})
		conn := tls.Client(dial(t, s), &tls.Config{ServerName: c.name, InsecureSkipVerify: true})
		got, err := "", conn.Handshake()
		if err == nil {
			leaf := conn.ConnectionState().PeerCertificates[0]
			if got = strings.Join(leaf.DNSNames, " "); strings.HasPrefix(got, "git.test") {
				got = "git.test"
			} else if len(leaf.IPAddresses) > 0 {
				got = leaf.IPAddresses[0].String()
			}
		}
		if got != c.want {
			t.Errorf("%+v: %q (%v)", c, got, err)
		}
		// What is no hello is answered as ever.
		plain := dial(t, s)
		send(t, plain, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		wantBytes(t, plain, []byte(notTLSReply))
		wantEnd(t, plain)
		eventually(t, "nobody is pending", func() bool { return s.Snapshot().HandshakeFailures.NotTLS == 1 })
	}
}

// A peer behind a proxy is passed on as the peer that it is.
func TestForeignNamesBehindAProxy(t *testing.T) {
	seen := make(chan string, 1)
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		from, _, err := behind.ReadHeader(c)
		if err != nil {
			seen <- err.Error()
		}
		seen <- from.String()
	}()
	s := start(t, Config{TLS: selfTLS(t), Proxies: believing(t, false, "127.0.0.1"), SNI: sharing(t, map[string]string{"git.test": "proxy-v2:" + l.Addr().String()}, "", "")})
	c := tls.Client(begun(t, s, v2Header), &tls.Config{ServerName: "git.test", InsecureSkipVerify: true})
	go c.Handshake()
	if got := <-seen; got != "192.0.2.1:56324" {
		t.Errorf("the backend is told of %s", got)
	}
}

// Many at once are passed on, and no more than may be; those of the relay come in beside
// them, and their bound is their own.
func TestForeignConnectionsAreBounded(t *testing.T) {
	n := newNeighbour(t, echo)
	s := start(t, Config{TLS: selfTLS(t), MaxForeign: 3, MaxConns: 1, SNI: sharing(t, map[string]string{"git.test": n.addr()}, "", "")})
	var here []*tls.Conn
	greet := func() error {
		c := tls.Client(dial(t, s), &tls.Config{ServerName: "git.test", RootCAs: n.roots})
		here = append(here, c)
		return c.Handshake()
	}
	for range 3 {
		if err := greet(); err != nil {
			t.Fatal(err)
		}
	}
	if err := greet(); err == nil {
		t.Error("a fourth is passed on")
	}
	if got := s.Snapshot(); got.SNI.Refused.Full != 1 || got.SNI.Open != 3 || got.Pending != 0 {
		t.Errorf("%+v", got)
	}
	here[0].Close()
	eventually(t, "one has left", func() bool { return s.Foreign() == 2 })
	for range ownConns + 1 {
		servedAs(t, s, "")
	}
	tooMany := tls.Client(dial(t, s), &tls.Config{InsecureSkipVerify: true})
	if err := tooMany.Handshake(); err == nil {
		t.Error("a full relay answers")
	}
	eventually(t, "one is turned away", func() bool { return s.Snapshot().Full == 1 })
	if err := greet(); err != nil {
		t.Errorf("a full relay has its neighbour's connections: %v", err)
	}
}

// A thousand at once, each with 64 KiB and more, beside peers who notice nothing.
func TestAThousandForeignConnections(t *testing.T) {
	n := newNeighbour(t, echo)
	s := start(t, Config{TLS: selfTLS(t), SNI: sharing(t, map[string]string{"git.test": n.addr()}, "", "")})
	n.TLS.NextProtos = []string{"http/1.1"}
	client := visit(t, s, n, "")
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	body := noise(70_000)
	var all sync.WaitGroup
	turn := make(chan struct{}, 100)
	for range 1000 {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			answer, err := client.Post("https://git.test/", "", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			if got, err := io.ReadAll(answer.Body); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes: %v", len(got), err)
			}
		})
	}
	for range 20 {
		wantServedAs(t, s, "")
	}
	all.Wait()
}

// Who takes its time is cut off by nobody: neither for what it does not read, nor for
// saying nothing.
func TestASlowForeignPeerStays(t *testing.T) {
	const much = 64 << 20 // more than all that stand in between can hold
	n := newNeighbour(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(much))
		io.CopyN(w, zeros{}, much)
	})
	s := start(t, Config{TLS: selfTLS(t), UserTimeout: 100 * time.Millisecond, PendingTimeout: 300 * time.Millisecond, HandshakeTimeout: 300 * time.Millisecond,
		SNI: sharing(t, map[string]string{"git.test": n.addr()}, "", "")})
	c := tls.Client(dial(t, s), &tls.Config{ServerName: "git.test", RootCAs: n.roots})
	send(t, c, []byte("GET / HTTP/1.1\r\nHost: git.test\r\nConnection: close\r\n\r\n"))
	time.Sleep(1500 * time.Millisecond) // while the peer's window is shut
	if got, err := io.Copy(io.Discard, c); err != nil || got < much {
		t.Errorf("%d bytes of %d: %v", got, much, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Other rules are for who comes; what is passed on goes on.
func TestRulesAreLive(t *testing.T) {
	n := newNeighbour(t, echo)
	c := Config{TLS: selfTLS(t)}
	s := start(t, c)
	name := func() string {
		conn := tls.Client(dial(t, s), &tls.Config{ServerName: "git.test", InsecureSkipVerify: true})
		if err := conn.Handshake(); err != nil {
			return ""
		}
		return strings.Join(conn.ConnectionState().PeerCertificates[0].DNSNames, " ")
	}
	if got := name(); got != "" {
		t.Errorf("before: %s", got)
	}
	c.SNI = sharing(t, map[string]string{"git.test": n.addr()}, "", "")
	change(t, s, c)
	if got := name(); got != "git.test *.git.test" {
		t.Errorf("then: %s", got)
	}
	client := visit(t, s, n, "")
	must(client.Get("https://git.test/"))(t).Body.Close()
	c.SNI = nil
	change(t, s, c)
	if got := name(); got != "" {
		t.Errorf("after: %s", got)
	}
	must(client.Get("https://git.test/"))(t).Body.Close() // over the connection that it has
	if got := s.Foreign(); got < 1 {
		t.Errorf("%d foreign connections", got)
	}
}

// A backend that leads back to the relay is found out, whatever it is called.
func TestABackendThatIsTheRelay(t *testing.T) {
	var log logtest.Log
	c := Config{TLS: selfTLS(t), Logger: log.Logger(slog.LevelWarn)}
	s := start(t, c)
	c.SNI = sharing(t, map[string]string{"git.test": s.Addr().String()}, "", "")
	change(t, s, c)
	conn := tls.Client(dial(t, s), &tls.Config{ServerName: "git.test", InsecureSkipVerify: true})
	if err := conn.Handshake(); err == nil {
		t.Error("it is answered")
	}
	eventually(t, "it is told", func() bool { return log.Lines("lead back", "name=git.test") == 1 })
	if got := s.Snapshot(); got.SNI.Refused.Loop != 1 || got.SNI.Passed != 0 {
		t.Errorf("%+v", got)
	}
}

// Hellos that do not end are strangers as all others, and go when their time is over.
func TestHellosThatStall(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t), HandshakeTimeout: 100 * time.Millisecond, SNI: sharing(t, nil, sni.Close, sni.Close)})
	for _, first := range []string{"", "\x16\x03\x01\x02\x00\x01", "\x16"} {
		c := dial(t, s)
		send(t, c, []byte(first))
		wantEnd(t, c)
	}
	eventually(t, "three are counted", func() bool { return s.Snapshot().HandshakeFailures.Timeout == 3 })
	if got := s.Snapshot(); got.Pending != 0 || s.Foreign() != 0 {
		t.Errorf("%+v", got)
	}
}

func TestNothingIsKeptWithoutRules(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t)})
	if s.now.Load().reading != nil {
		t.Error("hellos are kept that nobody looks at")
	}
}
