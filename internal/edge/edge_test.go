package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"testing"
	"time"
)

// The end of Serve's context stops the listener and leaves the conns alone.
func TestServeStopsAccepting(t *testing.T) {
	v := testVectors(t).HTTP
	s := must(Listen(Config{Relay: testRelay(t), Listen: "127.0.0.1:0", TLS: selfTLS(t)}))(t)
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
	if took := time.Since(began); took > patience/4 {
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	p.wantServed(t, c)
}

func TestShutdownWithoutServe(t *testing.T) {
	s := must(Listen(Config{Relay: testRelay(t), Listen: "127.0.0.1:0"}))(t)
	shutDown(t, s.Shutdown)
	if err := s.Serve(t.Context()); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}
