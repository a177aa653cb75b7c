package netio

import (
	"cmp"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A looped is a socket that a loop reads.
type looped struct {
	half
	loop atomic.Pointer[loop] // written by the loop that it is

	descriptor sync.Mutex // held over system calls of others than the loop
	fd         int        // -1: closed; written under descriptor

	ended func(error) // guarded by mu: who reads is told by it that reading has ended; nil: nobody reads

	// Owned by the loop.
	waiting waiting
	hungUp  bool   // no more will come than what is there
	seen    uint32 // in which window it was read last

	blocked  atomic.Bool   // a writer waits for room
	writable chan struct{} // wakes it; nil until one has waited; made under out.flushing
}

// waiting is what a socket of a loop waits for.
type waiting uint8

const (
	unknown    waiting = iota // for the loop to take it in
	notRead                   // for a reader
	forInput                  // for what comes: it is dry
	moreToRead                // for its turn
	handedOver                // for its next loop to take it in
	gone                      // for nothing any more
)

func newLooped(c net.Conn, l *loop) (*looped, error) {
	under, guest := bare(c)
	conn := kernel(under)
	if conn == nil {
		return nil, errNoSocket
	}
	fd, err := duplicate(conn)
	if err != nil {
		return nil, err
	}
	// That takes it out of the runtime's poller, which would be woken by all that comes.
	conn.Close()
	limitUnsent(fd)
	s := &looped{fd: fd}
	s.loop.Store(l)
	s.in.guest = guest
	if !l.call(s) {
		syscall.Close(fd)
		return nil, net.ErrClosed
	}
	return s, nil
}

// duplicate returns a descriptor of our own.
func duplicate(conn kernelConn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dupErr error
	if err := raw.Control(func(of uintptr) { fd, dupErr = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, err
	}
	return fd, os.NewSyscallError("fcntl", dupErr)
}

func (s *looped) read() error {
	s.working.Add(1)
	s.start(func(err error) {
		s.err = err
		s.working.Done()
	})
	s.working.Wait()
	return s.err
}

// start has the loop read, until it calls ended, once. That must not wait for anything.
func (s *looped) start(ended func(error)) {
	s.mu.Lock()
	why := s.closedLocked()
	if why == nil {
		s.ended = ended // from here on the loop may begin, whoever has called it
	}
	s.mu.Unlock()
	if why != nil {
		ended(why)
	} else if !s.loop.Load().call(s) {
		s.end(net.ErrClosed)
	}
}

// end says that reading has ended, if it was begun.
func (s *looped) end(err error) {
	s.mu.Lock()
	ended := s.ended
	s.ended = nil
	if why := s.closedLocked(); why != nil {
		err = why
	}
	s.mu.Unlock()
	if ended != nil {
		ended(err)
	}
}

// closedLocked is why the stream is closed; nil: it is not.
func (s *looped) closedLocked() error {
	if !s.closed.Load() {
		return nil
	}
	return cmp.Or(s.why, net.ErrClosed)
}

func (s *looped) isRead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended != nil
}

// attend has the loop do what has to be done with a socket that is new, is to be read, or
// is closed.
func (s *looped) attend() {
	if !s.closed.Load() {
		switch s.waiting {
		case unknown:
			s.join(notRead)
		case handedOver:
			s.join(forInput)
		}
	}
	switch {
	case s.closed.Load():
		s.leave()
	case s.waiting == notRead && s.isRead():
		s.begin()
	}
}

// join has the loop wait for the socket's news. What it has by now is news, too.
func (s *looped) join(as waiting) {
	l := s.loop.Load()
	for len(l.sockets) <= s.fd {
		l.sockets = append(l.sockets, make([]*looped, max(64, len(l.sockets)))...)
	}
	l.sockets[s.fd], s.waiting = s, as
	if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, s.fd, &syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edge, Fd: int32(s.fd)}); err != nil {
		s.because(os.NewSyscallError("epoll_ctl", err))
		s.closed.Store(true)
	}
}

// begin begins to read. What has been read before comes first.
func (s *looped) begin() {
	s.waiting = forInput
	if err := s.taker.take(&s.in); err != nil {
		s.stop(err)
		return
	}
	s.in.park()
	s.readable() // what came meanwhile brings no news
}

// stop has the loop not read the socket any more, and its reader go on.
func (s *looped) stop(why error) {
	s.waiting = notRead
	s.rest()
	s.end(why)
}

// leave closes the descriptor.
func (s *looped) leave() {
	if s.waiting == gone {
		return
	}
	if s.isRead() {
		s.stop(nil)
	}
	if l := s.loop.Load(); s.fd < len(l.sockets) && l.sockets[s.fd] == s {
		l.sockets[s.fd] = nil
	}
	s.waiting = gone
	s.descriptor.Lock()
	syscall.Close(s.fd) // which takes it out of the epoll
	s.fd = -1
	s.descriptor.Unlock()
	if s.blocked.Load() {
		s.wakeWriter()
	}
}

const hangUps = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR

// ready takes the news of the kernel.
func (s *looped) ready(events uint32) {
	if events&(syscall.EPOLLOUT|hangUps) != 0 && s.blocked.Load() {
		s.wakeWriter()
	}
	if events&hangUps != 0 {
		s.hungUp = true
	}
	if events&(syscall.EPOLLIN|hangUps) != 0 && s.waiting == forInput {
		s.readable()
	}
}

// readable reads what is there, and may hand the socket over: nobody may touch it
// afterwards.
func (s *looped) readable() {
	l := s.loop.Load()
	l.window.note(s)
	s.readBurst()
	l.endRound(mostOfRound)
	waiting := s.waiting
	if waiting != forInput && waiting != moreToRead || l.handsOver(s) {
		return
	}
	if waiting == moreToRead {
		l.more = append(l.more, s)
	}
}

// readBurst reads what is there, up to a burst.
func (s *looped) readBurst() {
	s.waiting = forInput
	if s.closed.Load() {
		s.stop(nil)
		return
	}
	room, err := s.room()
	if err != nil {
		s.stop(err)
		return
	}
	n, err := retry(syscall.Read, uintptr(s.fd), room)
	if err == syscall.EAGAIN {
		s.in.park()
		return
	}
	if err != nil || n == 0 {
		s.stop(readError(err))
		return
	}
	s.loop.Load().round += n
	if err := s.took(n); err != nil {
		s.stop(err)
		return
	}
	if n < len(room) && !s.hungUp {
		s.in.park() // it is dry
		return
	}
	s.waiting = moreToRead
}

func (s *looped) flushLocked(wait bool) (done bool, err error) {
	for s.out.loadLocked() {
		s.progress = false
		if err := s.sendLocked(); err != nil {
			return false, err
		}
		if len(s.out.going) == 0 {
			wait = false
			continue
		}
		s.out.stuckLocked()
		if !wait || s.progress {
			return false, nil
		}
		s.awaitRoomLocked()
	}
	return true, nil
}

// sendLocked hands the socket what it takes now.
func (s *looped) sendLocked() error {
	for len(s.out.going) > 0 {
		s.descriptor.Lock()
		if s.fd < 0 || s.closed.Load() {
			s.descriptor.Unlock()
			return net.ErrClosed
		}
		n, err := retry(syscall.Write, uintptr(s.fd), s.out.going)
		s.descriptor.Unlock()
		if err == syscall.EAGAIN {
			return nil
		}
		if err != nil {
			return os.NewSyscallError("write", err)
		}
		s.progress = true
		s.out.sentLocked(n)
	}
	return nil
}

// awaitRoomLocked waits until the socket may have room, or is closed.
func (s *looped) awaitRoomLocked() {
	if s.writable == nil {
		s.writable = make(chan struct{}, 1)
	}
	s.blocked.Store(true)
	defer s.blocked.Store(false)
	// What became writable before blocked was set has woken nobody.
	if s.hasRoom() {
		return
	}
	<-s.writable
}

// hasRoom asks the kernel.
func (s *looped) hasRoom() bool {
	s.descriptor.Lock()
	defer s.descriptor.Unlock()
	if s.fd < 0 || s.closed.Load() {
		return true
	}
	asked := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(asked, 0)
	return err != nil || n > 0
}

func (s *looped) wakeWriter() {
	select {
	case s.writable <- struct{}{}:
	default:
	}
}

func (s *looped) close() error {
	s.mu.Lock()
	first := !s.closed.Swap(true)
	s.mu.Unlock()
	if first {
		s.loop.Load().call(s)
		if s.blocked.Load() {
			s.wakeWriter()
		}
	}
	return nil
}

func (s *looped) afterRound(f interface{ RoundEnded(reader int) }) {
	l := s.loop.Load()
	l.after = append(l.after, f)
}

func (s *looped) reader() int { return 1 + s.loop.Load().index }
