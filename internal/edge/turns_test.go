package edge

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

func TestTurnsLeaveAProcessorToOthers(t *testing.T) {
	for processors, want := range map[int]int{1: 1, 2: 1, 3: 2, 64: 63} {
		if got := cap(newTurns(processors)); got != want {
			t.Errorf("%d turns with %d processors, want %d", got, processors, want)
		}
	}
}

// helloOnly is the network of a client that says hello, and hears nothing.
type helloOnly struct {
	net.Conn
	said chan struct{} // closed when it has said it
}

func (c *helloOnly) Write(p []byte) (int, error) {
	defer close(c.said)
	return c.Conn.Write(p)
}

func (c *helloOnly) Read([]byte) (int, error) {
	<-c.said
	return 0, net.ErrClosed
}

// sayHello has a connection say hello over TLS, and nothing else.
func sayHello(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c := dial(t, s)
	err := tls.Client(&helloOnly{c, make(chan struct{})}, &tls.Config{InsecureSkipVerify: true}).Handshake()
	if !errors.Is(err, net.ErrClosed) {
		t.Fatalf("a handshake without an answer ends with %v", err)
	}
	return c
}

// Those who say nothing, say half a hello, or do not go on after the answer have no turn.
func TestWhoIsSlowHasNoTurn(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t)})
	for range cap(s.turns) + 1 {
		dial(t, s)
		send(t, dial(t, s), []byte{22, 3, 1, 1, 0, 1})
		sayHello(t, s)
	}
	for range 3 {
		dialTLS(t, s, tls.VersionTLS12)
		dialTLS(t, s, tls.VersionTLS13)
	}
	eventually(t, "nobody has a turn", func() bool { return len(s.turns) == 0 })
}

func TestHandshakesComputeInTurns(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t)})
	for range cap(s.turns) {
		s.turns <- struct{}{}
	}
	c := sayHello(t, s)
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an answer when it was not its turn: %d bytes, %v", n, err)
	}
	<-s.turns
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("no answer when it was its turn: %v", err)
	}
}

// Who waits for his turn when the server ends, or another one needs his place, goes.
func TestShutdownWithOneThatWaitsForItsTurn(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t)})
	for range cap(s.turns) {
		s.turns <- struct{}{}
	}
	c := sayHello(t, s)
	eventually(t, "it is pending", func() bool { return s.pending.len() == 1 })
	s.pending.evict()
	<-s.turns
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes for one that was evicted", n)
	}
	eventually(t, "its handshake is over", func() bool { return s.Snapshot().HandshakeFailures.Cut == 1 })
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("%v", err)
	}
}
