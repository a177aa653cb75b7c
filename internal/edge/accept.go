package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/internal/reach/errno"
	"github.com/detour-relay/detour/internal/retry"
)

// An accept that fails is tried again after a pause that doubles up to the
// longest one: what the machine lacks (descriptors, memory) comes back.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = time.Second
)

// listen binds the address of a complete configuration, unless it has a listener
// already. Multipath TCP stays off, because it does not combine with the user timeout
// (spec 1.1).
func listen(config Config) (net.Listener, error) {
	listener := config.Listener
	if listener == nil {
		lc := net.ListenConfig{KeepAlive: -1} // setOptions sets it
		lc.SetMultipathTCP(false)
		var err error
		if listener, err = lc.Listen(context.Background(), "tcp", config.Listen); err != nil {
			return nil, fmt.Errorf("edge: %w", errno.BindError(err, "stop what listens there, or choose another port"))
		}
	}
	if err := setUserTimeout(listener, config); err != nil {
		return nil, fmt.Errorf("edge: the listener: %w", err)
	}
	return listener, nil
}

// setUserTimeout sets that of connections to come: sockets inherit it from the
// listener.
func setUserTimeout(listener net.Listener, config Config) error {
	socket, ok := listener.(syscall.Conn)
	if _, isUnix := listener.Addr().(*net.UnixAddr); !ok || isUnix {
		return nil // no socket, or one that is no TCP's: no options
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	return reach.SetUserTimeout(raw, config.UserTimeout)
}

// setOptions sets on a connection what is not inherited from the listener. An error
// means that it is closed already.
func setOptions(c net.Conn, config *Config) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: config.KeepAlive > 0, Idle: config.KeepAlive})
	}
}

// acceptAll accepts until the listener is closed. Nothing else ends it.
func (s *Server) acceptAll() {
	failing := false
	pace := retry.Backoff{First: shortestPause, Most: longestPause}
	for {
		c, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.cannotAccept(err, failing)
			failing = true
			retry.Rest(context.Background(), pace.Next(), s.stopped)
			continue
		}
		failing = false
		pace.Reset()
		s.count.accepted.Add(1)
		now := s.now.Load()
		from := c.RemoteAddr()
		switch {
		case !now.Proxies.believes(from) && !s.arrives(from, now): // else counted once it is known who comes
			s.count.rejected.Add(1)
			closeNow(c)
		case now.reading == nil && !s.hasRoom(c, now.MaxConns): // else it may not be for the relay
			s.count.full.Add(1)
			closeNow(c)
		default:
			s.admit(c, now)
		}
	}
}

// cannotAccept counts a failure. If descriptors are lacking, the oldest stranger
// gives his for the next to come.
func (s *Server) cannotAccept(err error, again bool) {
	s.count.acceptErrors.Add(1)
	if isOutOfDescriptors(err) {
		s.turnedAway.Store(int64(time.Since(s.born)))
		s.pending.evict()
	}
	if !again {
		s.config.Logger.Warn("cannot accept connections; trying again", "reason", err)
	}
}

// admit makes an accepted connection a pending one and sends it on its way.
func (s *Server) admit(c net.Conn, now *Config) {
	setOptions(c, now)
	who, metered := s.pending.meter(c)
	var conn net.Conn = metered
	if now.TLS != nil {
		conn = now.server(metered)
	}
	if !s.pending.add(who, conn) {
		return
	}
	if now.TLS == nil && !now.Proxies.believes(c.RemoteAddr()) {
		s.lookForHeader(metered)
		s.handOver(metered)
		return
	}
	if !s.enter() {
		s.pending.remove(conn)
		closeNow(c)
		return
	}
	go s.begin(conn, metered, now)
}

// closeNow closes a connection that gets no answer, and leaves nothing of it in
// the kernel: there is no wait for what was sent.
func closeNow(c net.Conn) {
	leaveNothing(c)
	c.Close()
}

func leaveNothing(c net.Conn) {
	if tcp, ok := transport(c).(*net.TCPConn); ok {
		tcp.SetLinger(0) // an error means that it is closed already
	}
}
