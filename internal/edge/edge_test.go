package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/reach"
)

// The end of Serve's context stops the listener and leaves the conns alone.
func TestServeStopsAccepting(t *testing.T) {
	v := testVectors(t).HTTP
	s := must(listenOver(Config{Relay: testRelay(t), Listen: "127.0.0.1:0", TLS: selfTLS(t)}))(t)
	t.Cleanup(func() { shutDown(t, s.config.Relay.Shutdown); shutDown(t, s.Shutdown) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()

	p := newPeer(vectorKey(t, "server").Public())
	c := dialTLS(t, s, tls.VersionTLS13)
	send(t, c, slices.Concat([]byte(v.FastStart.Request), p.clientInfo()))
	wantBytes(t, c, v.ReplyFastStart)

	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Error("still listening")
	}
	p.wantServed(t, c)
}

// Shutdown ends what is pending in every stage, at once.
func TestShutdownClosesPending(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t)})
	silent := dial(t, s)
	secured := dialTLS(t, s, tls.VersionTLS13)
	idle := dialTLS(t, s, tls.VersionTLS13)
	send(t, idle, []byte("GET /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n"))
	must(idle.Read(make([]byte, 4096)))(t)
	eventually(t, "three pending", func() bool { return s.Snapshot().Pending == 3 })

	began := time.Now()
	shutDown(t, s.Shutdown)
	if took := time.Since(began); took > timeout/12 {
		t.Errorf("took %v", took)
	}
	for _, c := range []net.Conn{silent, secured, idle} {
		if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("a pending connection is still open: %v", err)
		}
	}
	if got := s.Snapshot(); got.Pending != 0 || got.Evicted != 0 || got.Expired != 0 {
		t.Errorf("%+v", got)
	}
}

// Shutdown waits for conns of the relay, but no longer than it is allowed to.
func TestShutdownIsBounded(t *testing.T) {
	v := testVectors(t).HTTP
	s := start(t, Config{})
	p := newPeer(vectorKey(t, "server").Public())
	c := dial(t, s)
	send(t, c, slices.Concat([]byte(v.FastStart.Request), p.clientInfo()))
	wantBytes(t, c, v.ReplyFastStart)
	eventually(t, "the login", func() bool { return s.Snapshot().Pending == 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	p.wantServed(t, c)
}

func TestShutdownWithoutServe(t *testing.T) {
	s := must(listenOver(Config{Relay: testRelay(t), Listen: "127.0.0.1:0"}))(t)
	shutDown(t, s.Shutdown)
	if err := s.Serve(t.Context()); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

// Drain lets what was accepted before it come through, in every stage, and sends
// away who asks afterwards.
func TestDrain(t *testing.T) {
	v := testVectors(t).HTTP
	s := start(t, Config{TLS: selfTLS(t)})
	server := vectorKey(t, "server").Public()
	early, secured, asked := dial(t, s), dialTLS(t, s, tls.VersionTLS13), dialTLS(t, s, tls.VersionTLS13)
	send(t, asked, []byte(v.FastStart.Request[:20]))
	idle := dialTLS(t, s, tls.VersionTLS13)
	send(t, idle, []byte("GET /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n"))
	must(idle.Read(make([]byte, 4096)))(t)
	eventually(t, "four pending", func() bool { return s.Snapshot().Pending == 4 })

	drained := make(chan struct{})
	go func() { s.Drain(t.Context()); close(drained) }()
	wantEnd(t, idle) // it has had its answer
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Error("still listening")
	}

	e := tls.Client(early, &tls.Config{InsecureSkipVerify: true})
	for c, request := range map[*tls.Conn]string{
		e: v.FastStart.Request, secured: v.FastStart.Request, asked: v.FastStart.Request[20:],
	} {
		p := newPeer(server)
		send(t, c, slices.Concat([]byte(request), p.clientInfo()))
		wantBytes(t, c, v.ReplyFastStart)
		p.wantServed(t, c)
	}
	<-drained
}

func TestDrainIsBounded(t *testing.T) {
	v := testVectors(t).HTTP
	s := start(t, Config{})
	late := dial(t, s)
	eventually(t, "one pending", func() bool { return s.Snapshot().Pending == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	s.Drain(ctx)
	s.Drain(ctx) // again, which changes nothing

	send(t, late, []byte(v.Classic.Request))
	response := must(http.ReadResponse(bufio.NewReader(late), nil))(t)
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") != "1" || !response.Close || !reach.RefusalOf(response).Stopping() {
		t.Errorf("status %d %v", response.StatusCode, response.Header)
	}
	if got := s.Snapshot(); got.SentAway != 1 || got.Refused != 0 || got.Classic != 0 {
		t.Errorf("%+v", got)
	}
}

// A server goes on with a listener that another has bound and left.
func TestInheritedListener(t *testing.T) {
	v := testVectors(t).HTTP
	r := testRelay(t)
	old := must(listenOver(Config{Relay: r, Listen: "127.0.0.1:0"}))(t)
	file := must(old.Listener().(*net.TCPListener).File())(t)
	defer file.Close()
	shutDown(t, old.Shutdown)

	s := must(listenOver(Config{Relay: r, Listener: must(net.FileListener(file))(t), KeepAlive: 90 * time.Second}))(t)
	run(t, s)
	if s.Addr().String() != old.Addr().String() {
		t.Errorf("listens on %v, want %v", s.Addr(), old.Addr())
	}
	if _, ok := s.Listener().(*net.TCPListener); !ok {
		t.Errorf("the listener to hand on is a %T", s.Listener())
	}
	p := newPeer(vectorKey(t, "server").Public())
	c := dial(t, s)
	send(t, c, slices.Concat([]byte(v.FastStart.Request), p.clientInfo()))
	wantBytes(t, c, v.ReplyFastStart)
	p.wantServed(t, c)
}
