//go:build unix

package netio

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
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
	half
	conn kernelConn
	raw  syscall.RawConn

	reading bool // guarded by mu: a reader is at work and will close

	// Owned by the reader.
	bursts uint32  // read so far
	first  [1]byte // what ended an idle time
	begun  bool    // first has come, and nobody has taken it yet
	onWork func()
	onRead func(fd uintptr) bool
	onIdle func(fd uintptr) bool

	// Guarded by out.flushing.
	onSend func(fd uintptr) bool
	onWait func(fd uintptr) bool
}

// errNoSocket says that a conn is not one of the kernel's streams.
var errNoSocket = errors.New("netio: no socket of TCP or Unix")

// A kernelConn is one of them: *net.TCPConn or *net.UnixConn.
type kernelConn interface {
	net.Conn
	syscall.Conn
}

// kernel returns the socket under a conn; nil: it has none that can be read as such.
func kernel(c net.Conn) kernelConn {
	switch c := c.(type) {
	case *net.TCPConn:
		return c
	case *net.UnixConn:
		return c
	}
	return nil
}

func newSocket(c net.Conn) (*socket, error) {
	under, guest := bare(c)
	conn := kernel(under)
	if conn == nil {
		return nil, errNoSocket
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(raw.Control(func(fd uintptr) { limitUnsent(int(fd)) }), conn.SetDeadline(time.Time{})); err != nil {
		return nil, err
	}
	s := &socket{conn: conn, raw: raw}
	s.in.guest = guest
	s.onWork, s.onRead, s.onIdle = s.work, s.readable, s.arrived
	s.onSend, s.onWait = s.send, s.sendSome
	return s, nil
}

// read has take work through every burst until it fails or the socket ends.
//
// A conn that is idle waits here, on a stack that never held more than this.
// Work on bursts needs a deep one, so it runs on a goroutine that ends when the
// conn has been idle for a while.
func (s *socket) read() error {
	s.mu.Lock()
	if s.closed.Load() {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.reading = true
	s.mu.Unlock()

	s.err = nil
	for s.err == nil {
		s.working.Add(1)
		go s.onWork() // a method's value, made once: a reader that rests often comes here as often
		s.working.Wait()
		if s.err == nil {
			s.err = cmp.Or(s.raw.Read(s.onIdle), s.err)
		}
	}
	s.rest()
	return s.doneReading(s.err)
}

func (s *socket) start(ended func(error)) {
	go func() { ended(s.read()) }()
}

// idleAfter is how long a conn without input keeps its working goroutine.
const idleAfter = 5 * time.Second

// work takes what has arrived already, which may end with first, and then every
// burst until the stream is over or nothing has come for idleAfter.
func (s *socket) work() {
	defer s.working.Done()
	if s.begun {
		s.begun = false
		s.in.preload(s.first[:])
	}
	s.err = s.taker.take(&s.in)
	for s.err == nil {
		bursts := s.bursts
		if !s.wakeAfter(idleAfter) {
			s.err = net.ErrClosed
			return
		}
		err := s.raw.Read(s.onRead)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			s.err = cmp.Or(s.err, err)
		} else if s.bursts == bursts {
			s.wakeAfter(0)
			return
		}
	}
}

// wakeAfter bounds the next wait for input; 0 means not at all. It reports false
// if the stream is closed.
func (s *socket) wakeAfter(d time.Duration) bool {
	var at time.Time
	if d > 0 {
		at = time.Now().Add(d)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed.Load() && s.conn.SetReadDeadline(at) == nil
}

// arrived waits for the first byte after an idle time. It is all that runs on
// the stack of an idle conn, so it takes no chunk.
func (s *socket) arrived(fd uintptr) bool {
	n, err := retry(syscall.Read, fd, s.first[:])
	if err == syscall.EAGAIN {
		return false
	}
	if err != nil || n == 0 {
		s.err = readError(err)
		return true
	}
	s.begun = true
	return true
}

func readError(err error) error {
	if err == nil {
		return io.EOF
	}
	return os.NewSyscallError("read", err)
}

// doneReading closes the descriptor if somebody asked for it meanwhile.
func (s *socket) doneReading(err error) error {
	s.mu.Lock()
	s.reading = false
	closed, why := s.closed.Load(), s.why
	s.mu.Unlock()
	if closed {
		s.conn.Close()
		return cmp.Or(why, net.ErrClosed)
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
		var room []byte
		if room, s.err = s.room(); s.err != nil {
			return true
		}
		n, err := retry(syscall.Read, fd, room)
		if err == syscall.EAGAIN {
			s.in.park()
			return false
		}
		if err != nil || n == 0 {
			s.err = readError(err)
			return true
		}
		s.bursts++
		if s.err = s.took(n); s.err != nil {
			return true
		}
	}
}

// flushLocked hands the socket what is staged: with wait, at least something. It needs
// out.flushing held.
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
			s.out.stuckLocked()
			return false, nil
		}
		wait = false // something was sent
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

func (s *socket) roundTrip() time.Duration { return roundTrip(s.raw) }

// retry repeats a system call that a signal interrupted.
func retry(call func(int, []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		n, err := call(int(fd), p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

func (s *socket) afterRound(f interface{ RoundEnded(reader int) }) { f.RoundEnded(s.reader()) }

func (s *socket) reader() int { return 0 }
