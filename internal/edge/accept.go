package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/detour-relay/detour/internal/netio"
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

// listen binds the address of a complete configuration. Multipath TCP stays
// off, because it does not combine with the user timeout (spec 1.1); sockets
// inherit the user timeout from the listener.
func listen(config Config) (net.Listener, error) {
	if config.Listener != nil {
		return inherit(config)
	}
	lc := net.ListenConfig{
		KeepAlive: -1, // off, unless KeepAliveConfig is set
		Control: func(_, _ string, c syscall.RawConn) error {
			if config.UserTimeout < 0 {
				return nil
			}
			return reach.SetUserTimeout(c, config.UserTimeout)
		},
	}
	if config.KeepAlive > 0 {
		lc.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: config.KeepAlive}
	}
	lc.SetMultipathTCP(false)
	listener, err := lc.Listen(context.Background(), "tcp", config.Listen)
	if err != nil {
		return nil, fmt.Errorf("edge: %w", errno.BindError(err, "stop what listens there, or choose another port"))
	}
	return listener, nil
}

// inherit gives a listener that was bound elsewhere the options of this one.
func inherit(config Config) (net.Listener, error) {
	socket, ok := config.Listener.(syscall.Conn)
	if !ok {
		return config.Listener, nil // no socket, no options
	}
	if config.UserTimeout > 0 {
		raw, err := socket.SyscallConn()
		if err == nil {
			err = reach.SetUserTimeout(raw, config.UserTimeout)
		}
		if err != nil {
			return nil, fmt.Errorf("edge: the inherited listener: %w", err)
		}
	}
	return inheritedListener{config.Listener, net.KeepAliveConfig{Enable: config.KeepAlive > 0, Idle: config.KeepAlive}}, nil
}

// inheritedListener sets on each connection what net.ListenConfig would have
// had the listener set.
type inheritedListener struct {
	net.Listener
	keepAlive net.KeepAliveConfig
}

// Accept implements net.Listener.
func (l inheritedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok && err == nil {
		tcp.SetKeepAliveConfig(l.keepAlive) // an error means that it is closed already
	}
	return c, err
}

// acceptAll accepts until the listener is closed. Nothing else ends it.
func (s *Server) acceptAll() {
	limit := newArrivals(s.config.AcceptPerSecond, s.config.AcceptBurst)
	began, failing := time.Now(), false
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
		switch {
		case !limit.take(c.RemoteAddr(), time.Since(began)):
			s.count.rejected.Add(1)
			closeNow(c)
		case !s.hasRoom(c):
			s.count.full.Add(1)
			closeNow(c)
		default:
			s.admit(c)
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
func (s *Server) admit(c net.Conn) {
	who, metered := s.pending.meter(c)
	if s.config.TLS == nil {
		if s.pending.add(who, metered) {
			s.handOver(metered)
		}
		return
	}
	t := tls.Server(netio.NewWire(metered), s.config.TLS)
	if !s.pending.add(who, t) {
		return
	}
	if !s.enter() {
		s.pending.remove(t)
		closeNow(c)
		return
	}
	go s.secure(t)
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
