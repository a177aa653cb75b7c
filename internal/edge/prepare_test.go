package edge

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/decoy"
)

// change has another configuration take effect.
func change(t *testing.T, s *Server, config Config) {
	t.Helper()
	must(s.Prepare(config))(t)()
}

// What changes counts for who comes; who has logged in stays as he is.
func TestPrepareChangesWhatIsToCome(t *testing.T) {
	s := start(t, Config{})
	before := login(t, s)
	change(t, s, Config{TLS: selfTLS(t), Home: decoy.Blank})
	p := newPeer(s.config.Relay.PublicKey())
	c := dialTLS(t, s, tls.VersionTLS13)
	send(t, c, append([]byte(testVectors(t).HTTP.FastStart.Request), p.clientInfo()...))
	wantBytes(t, c, testVectors(t).HTTP.ReplyFastStart)
	p.wantServed(t, c)
	secure := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	answer := must(secure.Get("https://" + s.Addr().String() + "/"))(t)
	defer answer.Body.Close()
	if text := must(io.ReadAll(answer.Body))(t); len(text) > 0 {
		t.Errorf("the blank page says %s", text)
	}

	change(t, s, Config{})
	login(t, s)
	if _, page := ask(t, s, "GET", "/"); !strings.Contains(page, "DERP relay") {
		t.Errorf("the page says %s", page)
	}
	if got := s.Conns(); got != 3 {
		t.Errorf("%d of 3 peers are here", got)
	}
	before.Close()
	eventually(t, "two peers", func() bool { return s.Conns() == 2 })
}

// Fewer than there are: nobody who is in is thrown out, and nobody else comes in.
func TestPrepareMovesTheBounds(t *testing.T) {
	s := start(t, Config{})
	var peers []net.Conn
	for range ownConns + 2 {
		peers = append(peers, login(t, s))
	}
	change(t, s, Config{MaxConns: 1})
	if !s.Full() {
		t.Error("not full")
	}
	come(s)
	eventually(t, "one turned away", func() bool { return s.Snapshot().Full == 1 })
	if got := s.Conns(); got != len(peers) {
		t.Errorf("%d of %d peers are left", got, len(peers))
	}
	change(t, s, Config{})
	login(t, s)

	strangers := stall(t, s, 5, "x")
	eventually(t, "five pending", func() bool { return s.Snapshot().Pending == 5 })
	change(t, s, Config{MaxPending: 2})
	for _, c := range strangers[:3] {
		wantEnd(t, c)
	}
	stall(t, s, 1, "x")
	wantEnd(t, strangers[3])
	eventually(t, "two pending", func() bool { return s.Snapshot().Pending == 2 })

	change(t, s, Config{AcceptPerSecond: 0.001, AcceptBurst: 1})
	login(t, s)
	come(s)
	eventually(t, "one rejected", func() bool { return s.Snapshot().Rejected == 1 })
	change(t, s, Config{AcceptPerSecond: 1000, AcceptBurst: 1000})
	login(t, s) // another limit, another bucket
}

func TestPrepareChecks(t *testing.T) {
	s := start(t, Config{})
	if _, err := s.Prepare(Config{Home: "ftp://x", MaxConns: 1}); err == nil {
		t.Error("nonsense is taken")
	}
	if _, err := s.Prepare(Config{Home: decoy.Blank}); err != nil { // and not applied
		t.Error(err)
	}
	if now := s.now.Load(); now.Home != "" || now.MaxConns == 1 {
		t.Errorf("%+v", now)
	}
}

// come connects, or is closed before that is over.
func come(s *Server) {
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
	}
}
