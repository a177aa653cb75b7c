package edge

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Accepted sockets have the options of the configuration, and no multipath TCP,
// also if the listener is inherited.
func TestSocketOptions(t *testing.T) {
	r := testRelay(t)
	bare := func() net.Listener {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false)
		l := must(lc.Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
		file := must(l.(*net.TCPListener).File())(t)
		l.Close()
		defer file.Close()
		return must(net.FileListener(file))(t)
	}
	for name, c := range map[string]struct {
		config                   Config
		keepAlive, idle, timeout int // seconds, and milliseconds
	}{
		"default":   {Config{Relay: r}, 1, 600, 15000},
		"chosen":    {Config{Relay: r, KeepAlive: 90 * time.Second, UserTimeout: 2500 * time.Millisecond}, 1, 90, 2500},
		"off":       {Config{Relay: r, KeepAlive: -1, UserTimeout: -1}, 0, 0, 0},
		"inherited": {Config{Relay: r, Listener: bare(), KeepAlive: 90 * time.Second}, 1, 90, 15000},
		"taken off": {Config{Relay: r, Listener: bare(), KeepAlive: -1, UserTimeout: -1}, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.config.Listen = "127.0.0.1:0"
			listener := must(listen(must(c.config.complete())(t)))(t)
			defer listener.Close()
			far := must(net.Dial("tcp", listener.Addr().String()))(t)
			defer far.Close()
			near := must(listener.Accept())(t)
			defer near.Close()
			config := must(c.config.complete())(t)
			setOptions(near, &config)

			get := func(level, option int) (value int) {
				raw := must(near.(*net.TCPConn).SyscallConn())(t)
				raw.Control(func(fd uintptr) { value = must(unix.GetsockoptInt(int(fd), level, option))(t) })
				return value
			}
			if got := get(unix.SOL_SOCKET, unix.SO_KEEPALIVE); got != c.keepAlive {
				t.Errorf("SO_KEEPALIVE %d, want %d", got, c.keepAlive)
			}
			if c.idle != 0 && get(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE) != c.idle {
				t.Errorf("TCP_KEEPIDLE %d, want %d", get(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE), c.idle)
			}
			if got := get(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); got != c.timeout {
				t.Errorf("TCP_USER_TIMEOUT %d, want %d", got, c.timeout)
			}
			if got := get(unix.SOL_SOCKET, unix.SO_PROTOCOL); c.config.Listener == nil && got != unix.IPPROTO_TCP {
				t.Errorf("protocol %d, want TCP", got)
			}
		})
	}
}

// KeepAlive and UserTimeout are options of sockets, which those have that come later.
func TestPrepareChangesSocketOptions(t *testing.T) {
	s := start(t, Config{KeepAlive: -1, UserTimeout: 7 * time.Second})
	change(t, s, Config{KeepAlive: 90 * time.Second, UserTimeout: -1})
	if now := s.now.Load(); now.KeepAlive != 90*time.Second || now.UserTimeout != -1 {
		t.Errorf("%+v", now)
	}
	wantOptions(t, s, 90, 0)
	change(t, s, Config{KeepAlive: -1, UserTimeout: 2 * time.Second})
	wantOptions(t, s, 0, 2000)
}

// wantOptions compares the options of a connection that is accepted now.
func wantOptions(t *testing.T, s *Server, idle, timeout int) {
	t.Helper()
	far := stall(t, s, 1, "x")[0]
	var near net.Conn
	eventually(t, "it is pending", func() bool { near = transportOf(s, far.LocalAddr()); return near != nil })
	raw := must(near.(*net.TCPConn).SyscallConn())(t)
	get := func(level, option int) (value int) {
		raw.Control(func(fd uintptr) { value = must(unix.GetsockoptInt(int(fd), level, option))(t) })
		return value
	}
	if got := get(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); got != timeout {
		t.Errorf("TCP_USER_TIMEOUT %d, want %d", got, timeout)
	}
	if on := get(unix.SOL_SOCKET, unix.SO_KEEPALIVE); on != min(idle, 1) || idle > 0 && get(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE) != idle {
		t.Errorf("SO_KEEPALIVE %d, TCP_KEEPIDLE %d, want %d", on, get(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE), idle)
	}
}

// transportOf is our end of a connection that is pending; nil: it is not.
func transportOf(s *Server, from net.Addr) net.Conn {
	s.pending.mu.Lock()
	defer s.pending.mu.Unlock()
	for e := s.pending.oldest.Front(); e != nil; e = e.Next() {
		if c := transport(e.Value.(*stranger).transport); c.RemoteAddr().String() == from.String() {
			return c
		}
	}
	return nil
}
