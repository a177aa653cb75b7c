package edge

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
)

// Strangers, peers and the relay itself have their parts of the descriptors,
// whatever the configuration asks for.
func TestDescriptorsAreDivided(t *testing.T) {
	for _, c := range []struct{ have, maxPending, maxConns, wantPending, wantConns int }{
		{0, 4096, 0, 4096, 0}, // unknown
		{256, 4096, 0, 56, 168},
		{1024, 4096, 0, 240, 720},
		{1024, 100, 0, 100, 860},
		{1024, 4096, 10_000, 240, 720},
		{1024, 4096, 300, 240, 300},
		{20_000, 4096, 0, 4096, 15_392},
		{1 << 20, 4096, 0, 4096, 1<<20 - 4096 - 512},
		{16, 4096, 0, 1, 1}, // too few for anything
	} {
		config := Config{MaxPending: c.maxPending, MaxConns: c.maxConns}
		config.divide(c.have)
		if config.MaxPending != c.wantPending || config.MaxConns != c.wantConns {
			t.Errorf("%+v: %d pending, %d conns", c, config.MaxPending, config.MaxConns)
		}
	}
}

// outOfDescriptors is a listener that has none for the first tries.
type outOfDescriptors struct {
	net.Listener
	errs []error
}

func (l *outOfDescriptors) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil || len(l.errs) == 0 {
		return c, err
	}
	err, l.errs = l.errs[0], l.errs[1:]
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Without descriptors the oldest stranger gives way, each time, and the relay says
// that it is full.
func TestStrangersGiveTheirDescriptors(t *testing.T) {
	for _, lack := range []error{syscall.EMFILE, syscall.ENFILE} {
		t.Run(lack.Error(), func(t *testing.T) {
			listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
			s := start(t, Config{Listener: &outOfDescriptors{listener, []error{nil, nil, nil, lack, lack}}})
			old := stall(t, s, 3, "x")
			eventually(t, "three pending", func() bool { return s.Snapshot().Pending == 3 })
			if s.Full() {
				t.Error("full before anybody was turned away")
			}
			stall(t, s, 2, "x")
			for _, c := range old[:2] {
				wantEnd(t, c)
			}
			if got := s.Snapshot(); got.Evicted != 2 || got.AcceptErrors != 2 || !s.Full() {
				t.Errorf("%d evicted, %d errors, full: %v", got.Evicted, got.AcceptErrors, s.Full())
			}
			p := newPeer(vectorKey(t, "server").Public())
			send(t, dial(t, s), append([]byte(testVectors(t).HTTP.FastStart.Request), p.clientInfo()...))
			eventually(t, "a peer who gets in", func() bool { return s.Snapshot().Serving == 1 && s.Snapshot().Pending == 1 })
		})
	}
}

// login connects a peer, and waits until the relay has let it in.
func login(t *testing.T, s *Server) net.Conn {
	t.Helper()
	p := newPeer(s.config.Relay.PublicKey())
	c := dial(t, s)
	send(t, c, append([]byte(testVectors(t).HTTP.FastStart.Request), p.clientInfo()...))
	wantBytes(t, c, derp.AppendServerKey(nil, s.config.Relay.PublicKey()))
	p.wantServed(t, c)
	return c
}

// A full house turns away who comes, says so, and keeps some room for the relay's
// own machine, whose self-check must not fail by that.
func TestFullHouse(t *testing.T) {
	s := start(t, Config{MaxConns: 3})
	var inside []net.Conn
	for range 3 {
		if s.Full() {
			t.Error("full with room left")
		}
		inside = append(inside, login(t, s))
	}
	if !s.Full() {
		t.Error("not full")
	}
	for range ownConns { // these come from here
		inside = append(inside, login(t, s))
	}
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil { // else it was closed sooner
		defer c.Close()
		wantEnd(t, c)
	}
	eventually(t, "one turned away", func() bool { return s.Snapshot().Full == 1 })
	if got := s.Snapshot(); got.Full != 1 || got.Accepted != 12 {
		t.Errorf("%d turned away of %d", got.Full, got.Accepted)
	}
	for _, c := range inside {
		c.Close()
	}
	eventually(t, "room", func() bool { return s.Conns() == 0 })
	login(t, s)
}

func TestOnlyThisMachineIsOwn(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"127.0.0.1", "127.0.0.1", true}, {"::1", "::1", true}, {"192.0.2.7", "192.0.2.7", true},
		{"192.0.2.8", "192.0.2.7", false}, {"2001:db8::1", "2001:db8::1", true}, {"2001:db8::2", "2001:db8::1", false},
		{"::ffff:192.0.2.7", "192.0.2.7", true},
	} {
		conn := addressed{from: &net.TCPAddr{IP: net.ParseIP(c.from)}, to: &net.TCPAddr{IP: net.ParseIP(c.to)}}
		if got := isOwn(conn); got != c.want {
			t.Errorf("from %s to %s: %v", c.from, c.to, got)
		}
	}
}

type addressed struct {
	net.Conn
	from, to net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }
func (a addressed) LocalAddr() net.Addr  { return a.to }

// One address, or one network of IPv6, cannot use up what is meant for all; nor
// can many make the table grow.
func TestArrivalsOfOneSource(t *testing.T) {
	from := func(format string, n int) *net.TCPAddr {
		return &net.TCPAddr{IP: net.ParseIP(fmt.Sprintf(format, n>>8, n&0xff))}
	}
	for name, attacker := range map[string]func(n int) *net.TCPAddr{
		"an address": func(int) *net.TCPAddr { return from("192.0.%d.%d", 1) },
		"a /64":      func(n int) *net.TCPAddr { return from("2001:db8::%x:%x", n&0xffff) },
		"mapped":     func(int) *net.TCPAddr { return from("::ffff:192.0.%d.%d", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newArrivals(100, 100)
			now, others, in := time.Duration(0), 0, 0
			for n := range 10_000 {
				now += time.Millisecond
				if a.take(attacker(n), now) {
					in++
				}
				if n%100 == 0 && a.take(from("198.51.%d.%d", n/100), now) {
					others++
				}
			}
			if others != 100 || in < 200 || in > 300 { // a quarter of 100 a second, for 10 s, and of the burst
				t.Errorf("%d of 100 others got in, and %d of the attacker", others, in)
			}
		})
	}
	a := newArrivals(100, 100)
	for n := range 3 * mostSources {
		a.take(from("10.1.%d.%d", n), 0)
	}
	if len(a.sources) > mostSources {
		t.Errorf("%d sources", len(a.sources))
	}
	if a.take(from("10.250.%d.%d", 1), time.Minute); len(a.sources) > 10 {
		t.Errorf("%d sources a minute later", len(a.sources))
	}
}

// Who has come to the greeting and does not log in is a stranger still.
func TestPendingUntilLogin(t *testing.T) {
	s := start(t, Config{MaxPending: 4})
	request := []byte(testVectors(t).HTTP.FastStart.Request)
	for range 3 {
		c := dial(t, s)
		send(t, c, request)
		wantBytes(t, c, derp.AppendServerKey(nil, s.config.Relay.PublicKey()))
	}
	if n := s.Snapshot().Pending; n != 3 {
		t.Errorf("%d pending, want 3", n)
	}
	peer := login(t, s)
	if n := s.Snapshot().Pending; n != 3 {
		t.Errorf("%d pending after a login, want 3", n)
	}
	stall(t, s, 20, "x")
	eventually(t, "the strangers gone, the peer not", func() bool { return s.Snapshot().Accepted == 24 && s.Conns() == 1 })
	peer.Close()
	eventually(t, "the peer gone", func() bool { return s.Conns() == 0 })
}

// What strangers send is bounded for all together; those that send what a login
// needs come through meanwhile.
func TestGreedyStrangers(t *testing.T) {
	hello := append([]byte{22, 3, 1, 0x40, 0, 1, 0, 0xff, 0}, make([]byte, 0x3fff-4)...)
	head := append([]byte("GET /derp HTTP/1.1\r\nHost: x\r\nX: "), bytes.Repeat([]byte("x"), 14<<10)...)
	info := slices.Concat([]byte(testVectors(t).HTTP.FastStart.Request),
		derp.AppendHeader(nil, derp.FrameClientInfo, derp.MaxClientInfo), make([]byte, 50<<10))
	secure := func(s *Server) net.Conn { return dialTLS(t, s, tls.VersionTLS13) }
	bare := func(s *Server) net.Conn { return dial(t, s) }
	for name, c := range map[string]struct {
		tls  bool
		dial func(*Server) net.Conn
		send []byte
	}{
		"part of a hello":   {true, bare, hello},
		"part of a request": {true, secure, head},
		"a request, plain":  {false, bare, head},
		"part of a login":   {true, secure, info},
	} {
		t.Run(name, func(t *testing.T) {
			config := Config{PendingBytes: 30 << 10}
			if c.tls {
				config.TLS = selfTLS(t)
			}
			s := start(t, config)
			var all []net.Conn
			for range 10 {
				conn := c.dial(s)
				all = append(all, conn)
				conn.Write(c.send) // fails if it is closed in the midst of it
			}
			eventually(t, "the greedy gone", func() bool { return s.Snapshot().Greedy >= 5 })
			connect := bare
			if c.tls {
				connect = secure
			}
			good := connect(s)
			p := newPeer(s.config.Relay.PublicKey())
			send(t, good, append([]byte(testVectors(t).HTTP.FastStart.Request), p.clientInfo()...))
			wantBytes(t, good, derp.AppendServerKey(nil, s.config.Relay.PublicKey()))
			p.wantServed(t, good)
			for _, conn := range all {
				conn.Close()
			}
			good.Close()
			eventually(t, "nothing held", func() bool {
				s.pending.mu.Lock()
				defer s.pending.mu.Unlock()
				return s.pending.held.Load() == 0 && s.pending.oldest.Len() == 0
			})
		})
	}
}

// A peer that has logged in is not measured any more.
func TestPeersAreNotMetered(t *testing.T) {
	for name, s := range map[string]*Server{
		"plain": start(t, Config{PendingBytes: 1}), "TLS": start(t, Config{PendingBytes: 1, TLS: selfTLS(t)}),
	} {
		t.Run(name, func(t *testing.T) {
			c := dialRawWebSocket(t, s)
			go io.Copy(io.Discard, c)
			before := s.config.Relay.Counters().Received.Other.Bytes
			for range 20 {
				send(t, c, wsFrame(wsFinal|wsBinary, derp.AppendSendPacket(nil, newPeer(s.config.Relay.PublicKey()).key.Public(), make([]byte, 60<<10))))
			}
			eventually(t, "all taken", func() bool { return s.config.Relay.Counters().Received.Other.Bytes-before == 20*60<<10 })
		})
	}
}
