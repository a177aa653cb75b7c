package stun

import (
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A socket is the responder's descriptor. The runtime's poller does not know
// it: it would wake a thread for each datagram, although nobody waits there, and
// that doubles what an answer costs (docs/performance.md).
type socket struct {
	fd int // set once; it blocks, so that copies of it keep out of the poller, too

	mu     sync.Mutex
	users  int  // guarded by mu
	closed bool // guarded by mu
}

// takeSocket makes a socket of conn, which it closes.
func takeSocket(conn *net.UDPConn) (*socket, error) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("STUN: %w", err)
	}
	s := new(socket)
	var failed error
	if err := raw.Control(func(fd uintptr) { s.fd, failed = duplicate(int(fd)) }); err != nil {
		failed = err
	}
	if failed != nil {
		return nil, fmt.Errorf("STUN: taking the socket out of the poller: %w", failed)
	}
	if err := unix.SetNonblock(s.fd, false); err != nil {
		unix.Close(s.fd)
		return nil, fmt.Errorf("STUN: taking the socket out of the poller: %w", err)
	}
	return s, nil
}

func duplicate(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) }

// use calls f with the descriptor, which stays open meanwhile. It reports false
// if the socket is closed.
func (s *socket) use(f func(fd int)) bool {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false
	}
	s.users++
	s.mu.Unlock()
	f(s.fd)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.closed && s.users == 0 {
		unix.Close(s.fd)
	}
	return true
}

// close closes the descriptor as soon as nobody uses it.
func (s *socket) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.closed = true
	if s.users > 0 {
		return nil
	}
	return unix.Close(s.fd)
}

// file returns a copy.
func (s *socket) file() (*os.File, error) {
	var fd int
	err := net.ErrClosed
	s.use(func(own int) { fd, err = duplicate(own) })
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "stun"), nil
}
