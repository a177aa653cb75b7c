package edge

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/decoy"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/internal/sni"
)

// foreign knows the connections that do not come for the relay, and bounds their number.
// They are no strangers any more: they may stay for as long as they like.
type foreign struct {
	mu    sync.Mutex
	limit int // guarded by mu
	here  int // guarded by mu
}

func (f *foreign) bound(limit int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit = limit // those that are there stay
}

// enter reports whether there is room for one more, which leaves.
func (f *foreign) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.here >= f.limit {
		return false
	}
	f.here++
	return true
}

func (f *foreign) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.here--
}

func (f *foreign) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.here
}

// Foreign returns how many connections there are that do not come for the relay, now.
func (s *Server) Foreign() int { return s.foreign.len() }

// diverted ends the handshake of a connection that the relay does not answer.
type diverted struct {
	sni.Verdict
	full  bool // it would, and has no room
	hello *sni.Hello
}

func (*diverted) Error() string { return "edge: the connection is not for the relay to answer" }

// useNow has a configuration, which is complete, count for who comes from now on.
func (s *Server) useNow(c Config) {
	if before := s.now.Load(); before != nil && before.home.Is(c.Home) {
		c.home = before.home
	} else {
		c.home, _ = decoy.New(decoy.Config{Home: c.Home, Believes: s.isProxied, Log: c.Logger, Down: func() { s.count.down.Add(1) }}) // it has been checked
	}
	c.reading = nil
	if c.TLS != nil && c.SNI != nil {
		c.reading = sni.Reading(c.TLS, func(hello *tls.ClientHelloInfo) error { return s.judge(hello, &c) })
	}
	s.now.Store(&c)
}

// server is a connection with TLS. Where names are to be looked at, what is read is kept
// until then.
func (c *Config) server(m *netio.Metered) *tls.Conn {
	wire := netio.NewWire(m)
	if c.reading == nil {
		return tls.Server(wire, c.TLS)
	}
	wire.Conn = sni.Listen(m)
	return tls.Server(wire, c.reading)
}

// judge looks at the name that a connection asks for, and ends the handshake of one that
// is not for the relay, before anything is answered.
func (s *Server) judge(hello *tls.ClientHelloInfo, now *Config) error {
	wire := hello.Conn.(*netio.Wire)
	listened := wire.Conn.(*sni.Hello)
	d := &diverted{Verdict: now.SNI.Judge(hello.ServerName, hello.SupportedProtos), hello: listened}
	if d.Answers() {
		if s.hasRoom(transport(listened), now.MaxConns) {
			wire.Conn = listened.Conn
			return nil
		}
		d.full = true
	}
	listened.Divert()
	return d
}

// divert closes a connection, or passes it on until its end. Its goroutine is the
// connection's own.
func (s *Server) divert(c net.Conn, m *netio.Metered, d *diverted) {
	if !s.pending.remove(c) {
		s.count.failures[failureCut].Add(1) // evicted or expired in this very moment, or shut down
		return
	}
	switch {
	case d.full:
		s.count.full.Add(1)
	case d.Backend() == nil:
		s.passer.Closed(d.Verdict)
	case !s.foreign.enter():
		s.passer.Full()
	default:
		defer s.foreign.leave()
		s.passOn(m, d)
		return
	}
	closeNow(m.Conn)
}

// passOn passes a connection to its backend. A peer that takes its time is no matter of
// ours any more.
func (s *Server) passOn(m *netio.Metered, d *diverted) {
	m.Conn.SetDeadline(time.Time{})
	if socket, ok := m.Conn.(*net.TCPConn); ok {
		if raw, err := socket.SyscallConn(); err == nil {
			reach.SetUserTimeout(raw, 0) // an error means that it is closed already
		}
	}
	s.passer.Pass(s.life, m.Conn, d.hello.Ahead(), d.Verdict, addrPort(m.RemoteAddr()), addrPort(m.Conn.LocalAddr()))
}

// addrPort is the address of a socket; not valid, if it is none of TCP.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}

// isSelf reports whether a connection that this process has made leads to its own
// listener.
func (s *Server) isSelf(c net.Conn) bool {
	if at, isUnix := s.listener.Addr().(*net.UnixAddr); isUnix {
		to, ok := c.RemoteAddr().(*net.UnixAddr)
		return ok && to.Name == at.Name
	}
	at, to, from := addrPort(s.listener.Addr()), addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	if !at.IsValid() || to.Port() != at.Port() {
		return false
	}
	if at.Addr().IsUnspecified() { // any address of this machine
		return to.Addr().Unmap().IsLoopback() || to.Addr() == from.Addr()
	}
	return to.Addr().Unmap() == at.Addr().Unmap()
}
