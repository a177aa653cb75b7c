package coordserver

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/coord"
	"github.com/detour-relay/detour/internal/front"
)

// What a connection may take. A member has one that is open all the time.
const (
	headTime  = 10 * time.Second // for a TLS handshake, and for the head of a request; the service bounds bodies and answers
	idleTime  = 2 * time.Minute
	mostHead  = 8 << 10
	aliveTime = 2 * time.Minute // after so long without a word, a member's system is asked
)

// The descriptors of the process are divided: some are kept back for the engine, for
// operators and for files.
const (
	reserved   = 256
	reservedOf = 4 // of few, one of so many
)

// openListener binds the address of the coordinator, or takes it over.
func (s *Server) openListener() (err error) {
	listener := s.options.Listener
	if listener == nil {
		if listener, err = s.bind(); err != nil {
			return err
		}
	}
	s.listener = &limited{Listener: listener, most: s.config.Front.MaxConns}
	if s.listener.most == 0 {
		s.listener.most = room(front.DescriptorLimit())
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s.server = &http.Server{
		Handler: coord.Bounded(http.HandlerFunc(s.serve)), Protocols: protocols, ReadHeaderTimeout: headTime, IdleTimeout: idleTime, MaxHeaderBytes: mostHead, ErrorLog: front.NetLog(s.log),
	}
	return nil
}

func (s *Server) bind() (net.Listener, error) {
	name := front.SocketName("listen", s.config.Front.Listen)
	listener, err := s.options.Takeover.Listener(name)
	if listener != nil || err != nil {
		return listener, err
	}
	if listener, err = front.Listen(s.config.Front.Listen); err == nil {
		err = s.options.Takeover.Keep(name, listener)
	}
	if err != nil {
		return nil, front.CannotListen("listen", err)
	}
	return listener, nil
}

// room is how many connections there are descriptors for; 0: any number.
func room(limit uint64) int {
	if limit == 0 || limit > 1<<30 {
		return 0
	}
	return int(limit - min(reserved, limit/reservedOf))
}

// limited is a listener with so many connections at most; those above are closed at
// once, so that those before them go on.
type limited struct {
	net.Listener
	most       int // 0: any number
	conns      atomic.Int64
	turnedAway atomic.Uint64
}

// Accept returns the next connection that has room.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.conns.Add(1) > int64(l.most) && l.most > 0 {
			l.conns.Add(-1)
			l.turnedAway.Add(1)
			conn.Close()
			continue
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: aliveTime})
		}
		return &counted{Conn: conn, of: l}, nil
	}
}

// counted is a connection that gives its place back, once.
type counted struct {
	net.Conn
	of   *limited
	gone atomic.Bool
}

func (c *counted) Close() error {
	if !c.gone.Swap(true) {
		c.of.conns.Add(-1)
	}
	return c.Conn.Close()
}
