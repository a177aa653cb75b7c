package netio

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Loops read the sockets that are given to them, each on a goroutine of its own, with an
// epoll of its own. A packet's way is shorter so than by Go's poller: no goroutine is
// woken for each socket, and the loop knows whether a peer has hung up, so that a read
// that came short was the last one. As few of them work as can do it (share_linux.go).
//
// A loop waits in the kernel with a processor of Go's (a P), until the runtime takes it
// away. So whoever makes loops should allow Go one more (runtime.GOMAXPROCS).
type Loops struct {
	all     []*loop
	working atomic.Int32 // how many of all, from the first on, get sockets
	next    atomic.Uint32
	over    sync.WaitGroup
}

// NewLoops starts n loops.
func NewLoops(n int) (*Loops, error) {
	l := new(Loops)
	l.working.Store(1)
	for i := range n {
		one, err := newLoop(l, i)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.all = append(l.all, one)
		l.over.Go(one.run)
	}
	return l, nil
}

// Close ends the loops, and closes the streams that are left.
func (l *Loops) Close() {
	for _, one := range l.all {
		one.stopping.Store(true)
		one.ring()
	}
	l.over.Wait()
}

// looped gives the socket under a conn to one of the loops.
func (l *Loops) looped(c net.Conn) (kernelSocket, *half, error) {
	s, err := newLooped(c, l.oneOf(int(l.working.Load())))
	if err != nil {
		return nil, nil, err
	}
	return s, &s.half, nil
}

// oneOf returns one of the first n loops, each in its turn.
func (l *Loops) oneOf(n int) *loop { return l.all[int(l.next.Add(1))%n] }

// A loop waits for all of its sockets at once. In each round it reads what is there, of
// each socket up to a burst, so that none holds the others up.
type loop struct {
	of       *Loops
	index    int // in of.all
	epoll    int
	bell     int // an eventfd, by which others wake it
	stopping atomic.Bool

	// Owned by the loop.
	sockets []*looped                             // by descriptor
	more    []*looped                             // that may have more to be read, in order
	heard   time.Time                             // when there were news last
	called  []*looped                             // room for the next calls
	after   []interface{ RoundEnded(reader int) } // to be told when the round ends
	round   int                                   // bytes that were read in it
	window  window
	yielded time.Time

	load load // for the others to see

	mu    sync.Mutex
	calls []*looped // guarded by mu: sockets that have something new: they are made, read or closed
	over  bool      // guarded by mu: the loop has ended
}

func newLoop(of *Loops, index int) (*loop, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("netio: a loop's epoll: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, bell, &syscall.EpollEvent{Events: edge | syscall.EPOLLIN, Fd: int32(bell)})
	}
	if err != nil {
		syscall.Close(epoll)
		return nil, fmt.Errorf("netio: a loop's bell: %w", err)
	}
	return &loop{of: of, index: index, epoll: epoll, bell: bell}, nil
}

// edge is EPOLLET, which syscall has as a negative number.
const edge = 1 << 31

// call has the loop attend to a socket, and reports false if it has ended.
func (l *loop) call(s *looped) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.calls = append(l.calls, s)
	if len(l.calls) == 1 {
		l.ring()
	}
	return true
}

func (l *loop) ring() {
	one := [8]byte{1}
	syscall.Write(l.bell, one[:]) // it always has room
}

// perRound is how many sockets' news a loop takes from the kernel at a time.
const perRound = 64

func (l *loop) run() {
	defer l.end()
	var events [perRound]syscall.EpollEvent
	l.window.since = time.Now()
	for !l.stopping.Load() {
		n := l.wait(events[:])
		for _, e := range events[:n] {
			if int(e.Fd) == l.bell {
				l.attendAll()
			} else if s := l.sockets[e.Fd]; s != nil {
				s.ready(e.Events)
			}
		}
		l.endRound(0)
		l.readMore()
		l.endRound(0)
	}
}

// mostOfRound is how many bytes may be read before those are told who wait for the end of
// the round.
const mostOfRound = BurstSize

// endRound tells those who wait for it, if at least so many bytes were read.
func (l *loop) endRound(least int) {
	if l.round < least {
		return
	}
	for _, f := range l.after {
		f.RoundEnded(1 + l.index)
	}
	clear(l.after)
	l.after, l.round = l.after[:0], 0
}

// newsAfter is how long those of whom there is more to read may keep the loop from the
// news of others.
const newsAfter = 500 * time.Microsecond

// readMore reads those of whom there is more, each once, for a while. Who floods a relay
// is always among them, who is quiet never.
func (l *loop) readMore() {
	i := 0
	for n := len(l.more); i < n && (i == 0 || time.Since(l.heard) < newsAfter); i++ {
		if s := l.more[i]; s.waiting == moreToRead {
			s.readable()
		}
	}
	n := copy(l.more, l.more[i:])
	clear(l.more[n:])
	l.more = l.more[:n]
}

// yieldAfter is how long a loop runs on without a word to Go's scheduler. After 10 ms of
// that, the runtime takes the processor of a goroutine away whenever it is in the kernel,
// and looks for that 50,000 times a second: a tenth of what a relay took. A word costs
// something, too: the scheduler wakes another thread, which finds nothing to do.
const yieldAfter = 8 * time.Millisecond

// wait returns how many news there are, and waits for some if nothing else is to be done.
func (l *loop) wait(events []syscall.EpollEvent) int {
	timeout := -1
	if len(l.more) > 0 {
		timeout = 0
	}
	from := time.Now()
	if from.Sub(l.yielded) > yieldAfter {
		l.yielded = from
		runtime.Gosched()
	}
	n, err := syscall.EpollWait(l.epoll, events, timeout)
	if err != nil && err != syscall.EINTR {
		panic(os.NewSyscallError("epoll_wait", err)) // no argument of it can be wrong
	}
	l.heard = time.Now()
	l.waited(from, l.heard, timeout != 0)
	return max(n, 0)
}

// attendAll attends to those who have called.
func (l *loop) attendAll() {
	var drained [8]byte
	syscall.Read(l.bell, drained[:])
	l.mu.Lock()
	calls := l.calls
	l.calls = l.called[:0]
	l.mu.Unlock()
	for _, s := range calls {
		l.attend(s)
	}
	clear(calls)
	l.called = calls
}

// attend attends to one who has called, unless it has been handed over since.
func (l *loop) attend(s *looped) {
	if now := s.loop.Load(); now != l {
		now.call(s) // if that one has ended, it has closed what it had
		return
	}
	s.attend()
}

// end closes the sockets that are left.
func (l *loop) end() {
	l.mu.Lock()
	l.over = true
	calls := l.calls
	l.mu.Unlock()
	for _, s := range append(calls, l.sockets...) {
		if s != nil {
			s.closed.Store(true)
			l.attend(s)
		}
	}
	syscall.Close(l.epoll)
	syscall.Close(l.bell)
}
