package edge

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stall opens connections that send the given bytes and then nothing.
func stall(t *testing.T, s *Server, n int, first string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = dial(t, s)
		send(t, conns[i], []byte(first))
	}
	return conns
}

// However many handshakes stall, good connections beside them get through: the
// stalled ones are the oldest.
func TestSlowHandshakesDoNotStopGoodOnes(t *testing.T) {
	const limit = 64
	v := testVectors(t).HTTP
	s := start(t, Config{TLS: selfTLS(t), MaxPending: limit, HandshakeTimeout: time.Hour, PendingTimeout: time.Hour})
	server := vectorKey(t, "server").Public()
	for round, first := range []string{"", "\x16\x03\x01\x02\x00\x01", "\x16", ""} {
		stall(t, s, 2*limit, first)
		eventually(t, "all stalled connections accepted", func() bool {
			return s.Snapshot().Accepted == uint64((round+1)*2*limit+round)
		})
		p := newPeer(server)
		c := dialTLS(t, s, tls.VersionTLS13)
		send(t, c, slices.Concat([]byte(v.FastStart.Request), p.clientInfo()))
		wantBytes(t, c, v.ReplyFastStart)
		p.wantServed(t, c)
	}
	got := s.Snapshot()
	if got.Pending > limit || got.Evicted < 7*limit || got.Serving != 4 {
		t.Errorf("%d pending, %d evicted, %d served; want at most %d, at least %d, and 4", got.Pending, got.Evicted, got.Serving, limit, 7*limit)
	}
}

// The same with requests that never end, on a plain listener.
func TestSlowRequestsDoNotStopGoodOnes(t *testing.T) {
	const limit = 32
	v := testVectors(t).HTTP
	s := start(t, Config{MaxPending: limit, HandshakeTimeout: time.Hour, PendingTimeout: time.Hour})
	slow := stall(t, s, 4*limit, "GET /derp HTTP/1.1\r\nHost:")
	p := newPeer(vectorKey(t, "server").Public())
	c := dial(t, s)
	send(t, c, slices.Concat([]byte(v.Plain.Request), p.clientInfo()))
	wantBytes(t, c, v.ReplyClassic)
	p.wantServed(t, c)
	if _, err := slow[0].Read(make([]byte, 1)); err == nil {
		t.Error("the oldest stalled connection got an answer")
	}
}

// Who has logged in is not pending any more, whatever floods in behind it.
func TestUpgradedConnsAreNotEvicted(t *testing.T) {
	v := testVectors(t).HTTP
	s := start(t, Config{MaxPending: 4})
	p := newPeer(vectorKey(t, "server").Public())
	c := dial(t, s)
	send(t, c, slices.Concat([]byte(v.FastStart.Request), p.clientInfo()))
	wantBytes(t, c, v.ReplyFastStart)
	eventually(t, "the login", func() bool { return s.Snapshot().Pending == 0 })
	stall(t, s, 50, "x")
	eventually(t, "the flood accepted", func() bool { return s.Snapshot().Accepted == 51 })
	p.wantServed(t, c)
}

// The deadlines of the handshake and of net/http end with the upgrade.
func TestUpgradedConnsOutliveTheTimeouts(t *testing.T) {
	v := testVectors(t).HTTP
	config := Config{Relay: testRelay(t), HandshakeTimeout: 200 * time.Millisecond, PendingTimeout: 400 * time.Millisecond}
	plain := start(t, config)
	config.TLS = selfTLS(t)
	secure := start(t, config)
	for s, connect := range map[*Server]func() io.ReadWriter{
		plain:  func() io.ReadWriter { return dial(t, plain) },
		secure: func() io.ReadWriter { return dialTLS(t, secure, tls.VersionTLS13) },
	} {
		c := connect()
		p := newPeer(vectorKey(t, "server").Public())
		send(t, c, slices.Concat([]byte(v.FastStart.Request), p.clientInfo()))
		wantBytes(t, c, v.ReplyFastStart)

		// A connection that came later and keeps asking has outlived its time.
		later := stall(t, s, 1, "")[0]
		io.ReadAll(later)
		probe := []byte("GET /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n")
		for busy := dial(t, plain); ; {
			if _, err := busy.Write(probe); err != nil {
				break
			}
			if _, err := busy.Read(make([]byte, 4096)); err != nil {
				break
			}
		}
		p.wantServed(t, c)
	}
}

func TestTimeoutsOfHandshakeAndHead(t *testing.T) {
	config := Config{HandshakeTimeout: time.Second, PendingTimeout: time.Hour} // a whole handshake fits in
	r := testRelay(t)
	config.Relay = r
	plain := start(t, config)
	config.TLS = selfTLS(t)
	secure := start(t, config)

	for name, c := range map[string]io.Reader{
		"silent":             dial(t, secure),
		"part of a hello":    stall(t, secure, 1, "\x16\x03\x01\x02\x00\x01")[0],
		"no request":         dialTLS(t, secure, tls.VersionTLS13),
		"no request, plain":  dial(t, plain),
		"part of a request":  stall(t, plain, 1, "GET /derp HTTP/1.1\r\nHost:")[0],
		"no end of the head": stall(t, plain, 1, "GET /derp HTTP/1.1\r\nHost: x\r\n")[0],
	} {
		if _, err := io.ReadAll(c); isTimeout(err) {
			t.Errorf("%s: still open after %v", name, timeout)
		}
	}
	eventually(t, "everything forgotten", func() bool {
		return secure.Snapshot().Pending == 0 && plain.Snapshot().Pending == 0
	})
	if n := secure.Snapshot().HandshakeFailures.Timeout; n != 2 {
		t.Errorf("%d handshakes timed out, want 2", n)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// Life before the upgrade is bounded even for a connection that is busy.
func TestPendingTimeoutCutsBusyConnections(t *testing.T) {
	s := start(t, Config{PendingTimeout: 100 * time.Millisecond, HandshakeTimeout: time.Hour})
	began := time.Now()
	c := dial(t, s)
	for time.Since(began) < timeout {
		if _, err := c.Write([]byte("GET /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			break
		}
		if _, err := c.Read(make([]byte, 4096)); err != nil {
			break
		}
	}
	if took := time.Since(began); took < 100*time.Millisecond || took >= timeout {
		t.Errorf("cut after %v, want 100 ms", took)
	}
	if n := s.Snapshot().Expired; n != 1 {
		t.Errorf("%d expired, want 1", n)
	}
}

// The structure alone, under a clock of its own.
func TestPendingExpiresInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pending
		var count counters
		p.init(100, 1<<20, 10*time.Second, &count)
		defer p.close()
		var conns []net.Conn
		for range 5 {
			near, far := net.Pipe()
			defer far.Close()
			conns = append(conns, near)
			p.add(&stranger{in: &p, transport: near}, near)
			time.Sleep(time.Second)
		}
		if !p.remove(conns[1]) || p.remove(conns[1]) {
			t.Error("remove: want true, then false")
		}
		time.Sleep(5*time.Second + time.Millisecond) // the first is 10 s old
		synctest.Wait()
		if p.len() != 3 || p.remove(conns[0]) || count.expired.Load() != 1 {
			t.Errorf("%d pending, %d expired; want 3 and 1", p.len(), count.expired.Load())
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if p.len() != 0 || count.expired.Load() != 4 {
			t.Errorf("%d pending, %d expired; want 0 and 4", p.len(), count.expired.Load())
		}
		conns[1].Close()

		near, far := net.Pipe() // after an empty spell
		defer far.Close()
		p.add(&stranger{in: &p, transport: near}, near)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if p.len() != 0 || count.expired.Load() != 5 {
			t.Errorf("%d pending, %d expired; want 0 and 5", p.len(), count.expired.Load())
		}

		p.close()
		late, other := net.Pipe()
		defer other.Close()
		if p.add(&stranger{in: &p, transport: late}, late) {
			t.Error("taken in after close")
		}
		if _, err := late.Write([]byte("x")); err == nil {
			t.Error("not closed after close")
		}
	})
}

func TestRequestHeadIsBounded(t *testing.T) {
	s := start(t, Config{})
	response, _ := ask(t, s, "GET", "/derp", "X: "+strings.Repeat("x", 2*maxHeader))
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", response.StatusCode)
	}
}
