//go:build unix

package netio

import (
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// socket reads bursts from and writes staged bytes to a non-blocking TCP
// socket, without a buffer while it waits.
//
// The whole reading loop runs inside one call of syscall.RawConn.Read, whose
// callback reports false when the socket is dry and is called again when it is
// readable. Closing the descriptor waits for that call to end, so nobody but
// the reader closes it: Close only wakes it with a deadline in the past.
type socket struct {
	conn *net.TCPConn
	raw  syscall.RawConn
	out  staged

	// Owned by the reader.
	in     inbox
	take   func(*inbox) error // works through what arrived
	err    error              // why reading ended
	onRead func(fd uintptr) bool

	// Guarded by out.flushing.
	sendErr  error
	progress bool
	onSend   func(fd uintptr) bool
	onWait   func(fd uintptr) bool

	mu      sync.Mutex
	reading bool        // guarded by mu: a reader is at work and will close
	closed  atomic.Bool // set under mu
}

func newSocket(conn *net.TCPConn) (*socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	s := &socket{conn: conn, raw: raw}
	s.onRead, s.onSend, s.onWait = s.readable, s.send, s.sendSome
	return s, nil
}

// read runs take over every burst until it fails or the socket ends.
func (s *socket) read(take func(*inbox) error) error {
	s.mu.Lock()
	if s.closed.Load() {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.reading = true
	s.mu.Unlock()

	s.take = take
	s.err = take(&s.in) // what was read before comes first
	if s.err == nil {
		if err := s.raw.Read(s.onRead); err != nil {
			s.err = err
		}
	}
	return s.doneReading(s.err)
}

// doneReading closes the descriptor if somebody asked for it meanwhile.
func (s *socket) doneReading(err error) error {
	s.mu.Lock()
	s.reading = false
	closed := s.closed.Load()
	s.mu.Unlock()
	if closed {
		s.conn.Close()
		return net.ErrClosed
	}
	return err
}

// readable reads and delivers until the socket is dry (false: call again when
// it is readable) or the stream is over (true).
func (s *socket) readable(fd uintptr) bool {
	for bursts := 0; ; bursts++ {
		if s.closed.Load() {
			return true
		}
		if bursts > 1 {
			// The socket does not run dry: let quiet peers have their turn.
			runtime.Gosched()
		}
		room := s.in.room()
		if len(room) == 0 {
			s.err = ErrBurstTooLong
			return true
		}
		n, err := retry(syscall.Read, fd, room)
		switch {
		case err == syscall.EAGAIN:
			s.in.rest()
			return false
		case err != nil:
			s.err = os.NewSyscallError("read", err)
		case n == 0:
			s.err = io.EOF
		default:
			s.in.add(n)
			s.err = s.take(&s.in)
		}
		if s.err != nil {
			return true
		}
	}
}

// flush hands the socket what is staged: with wait, at least something.
func (s *socket) flush(wait bool) (done bool, err error) {
	s.out.flushing.Lock()
	defer s.out.flushing.Unlock()
	return s.flushLocked(wait)
}

func (s *socket) flushLocked(wait bool) (done bool, err error) {
	for s.out.loadLocked() {
		try := s.onSend
		if wait {
			try = s.onWait
		}
		s.sendErr, s.progress = nil, false
		if err := s.raw.Write(try); err != nil {
			return false, err
		}
		if s.sendErr != nil {
			return false, s.sendErr
		}
		if len(s.out.going) > 0 {
			return false, nil
		}
	}
	return true, nil
}

// send hands the socket what it takes now.
func (s *socket) send(fd uintptr) bool {
	for len(s.out.going) > 0 {
		n, err := retry(syscall.Write, fd, s.out.going)
		if err == syscall.EAGAIN {
			return true
		}
		if err != nil {
			s.sendErr = os.NewSyscallError("write", err)
			return true
		}
		s.progress = true
		s.out.sentLocked(n)
	}
	return true
}

// sendSome is send that waits until the socket took at least something.
func (s *socket) sendSome(fd uintptr) bool {
	return s.send(fd) && (s.progress || s.sendErr != nil)
}

// close makes every pending and later call fail. It never waits.
func (s *socket) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	if !s.reading {
		return s.conn.Close()
	}
	return s.conn.SetDeadline(time.Unix(1, 0))
}

// retry repeats a system call that a signal interrupted.
func retry(call func(int, []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		n, err := call(int(fd), p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}
