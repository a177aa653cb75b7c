package edge

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The limit closes what is above it and nothing else: neither the server nor
// the connections that came before.
func TestAcceptLimit(t *testing.T) {
	const burst, flood = 5, 50
	v := testVectors(t).HTTP
	s := start(t, Config{AcceptPerSecond: 0.001, AcceptBurst: burst})
	p := newPeer(vectorKey(t, "server").Public())
	first := dial(t, s)
	send(t, first, slices.Concat([]byte(v.FastStart.Request), p.clientInfo()))
	wantBytes(t, first, v.ReplyFastStart)

	conns := stall(t, s, burst-1, "") // uses the burst up
	for range flood {
		c, err := net.Dial("tcp", s.Addr().String())
		if errors.Is(err, syscall.ECONNRESET) {
			continue // closed before the dial had returned
		}
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(timeout))
		if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("a connection above the limit: %v, want it closed", err)
		}
		c.Close()
	}
	eventually(t, "all accepted, and the first one logged in", func() bool {
		return s.Snapshot().Accepted == burst+flood && s.Snapshot().Pending == len(conns)
	})
	if got := s.Snapshot().Rejected; got != flood {
		t.Errorf("%d rejected, want %d", got, flood)
	}
	p.wantServed(t, first)
}

// After the flood the server takes connections again, at the rate it was given.
func TestAcceptGoesOnAfterTheLimit(t *testing.T) {
	s := start(t, Config{AcceptPerSecond: 200, AcceptBurst: 1})
	eventually(t, "something rejected, and then something accepted", func() bool {
		if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
			defer c.Close()
		} else if !errors.Is(err, syscall.ECONNRESET) { // closed before the dial had returned
			t.Fatal(err)
		}
		got := s.Snapshot()
		return got.Rejected > 0 && got.Accepted > got.Rejected+3
	})
}

// brokenListener fails to accept for some time, as when descriptors run out.
type brokenListener struct {
	net.Listener
	errs  []error
	calls atomic.Int64
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if n := int(l.calls.Add(1)) - 1; n < len(l.errs) {
		return nil, l.errs[n]
	}
	return l.Listener.Accept()
}

func TestAcceptErrorsDoNotStopTheServer(t *testing.T) {
	config := must(Config{Relay: testRelay(t), Listen: "127.0.0.1:0"}.complete())(t)
	broken := &brokenListener{
		Listener: must(listen(config))(t),
		errs: []error{
			&net.OpError{Op: "accept", Err: syscall.EMFILE}, &net.OpError{Op: "accept", Err: syscall.ENFILE},
			&net.OpError{Op: "accept", Err: syscall.ECONNABORTED}, errors.New("something else"),
		},
	}
	s := newServer(config, broken)
	run(t, s)
	if response, _ := ask(t, s, "GET", "/derp/probe"); response.StatusCode != 200 {
		t.Errorf("status %d", response.StatusCode)
	}
	if n := s.Snapshot().AcceptErrors; n != 4 {
		t.Errorf("%d accept errors counted, want 4", n)
	}
}

func TestListenErrors(t *testing.T) {
	taken := start(t, Config{})
	_, err := Listen(Config{Relay: taken.config.Relay, Listen: taken.Addr().String()})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("a taken address: %v", err)
	}
}
