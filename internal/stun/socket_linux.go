package stun

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A socket is the responder's, as a file that blocks. The runtime's poller does
// not know it: it would wake a thread for each datagram, although nobody waits
// there, and that doubles what an answer costs (docs/decisions/0007). Copies have
// to block, too, so that they stay out of the poller.
type socket struct{ *os.File }

// takeSocket makes a socket of conn, which it closes.
func takeSocket(conn *net.UDPConn) (*socket, error) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("STUN: %w", err)
	}
	var file *os.File
	var failed error
	if err := raw.Control(func(fd uintptr) { file, failed = blockingCopy(fd) }); err != nil {
		failed = err
	}
	if failed != nil {
		return nil, fmt.Errorf("STUN: taking the socket out of the poller: %w", failed)
	}
	return &socket{file}, nil
}

func blockingCopy(fd uintptr) (*os.File, error) {
	own, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(own, false); err != nil {
		unix.Close(own)
		return nil, err
	}
	return os.NewFile(uintptr(own), "stun"), nil
}

// use calls f with the descriptor, which stays open meanwhile.
func (s *socket) use(f func(fd int)) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) })
}

// file returns a copy.
func (s *socket) file() (file *os.File, err error) {
	closed := s.use(func(fd int) { file, err = blockingCopy(uintptr(fd)) })
	if closed != nil {
		return nil, closed
	}
	return file, err
}
