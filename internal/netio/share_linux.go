package netio

import (
	"sync/atomic"
	"syscall"
	"time"
)

// Loops share the sockets by their load. One loop alone spends least: at each return from
// the kernel it finds more to do, and only one thread is woken. So the first loop has all
// sockets until it is busy nearly all the time; then it hands some of those that are read
// over to another loop, and the last one gives its sockets back when the others could do
// its work. Sockets that nobody speaks on stay where they are.

const (
	// windowTime is how long a loop looks before it decides anything.
	windowTime = 100 * time.Millisecond

	// A loop that is busy for more than fullAt of a thousand parts of its time wants to
	// hand sockets over, to one that is so much less busy that it is worth it. The last loop
	// retires if all of them could do with one less and be emptyAt busy on the average,
	// in so many windows one after another.
	fullAt       = 850
	worthIt      = 250
	emptyAt      = 500
	emptyWindows = 10
)

// A window is what a loop knows of itself since it last decided.
type window struct {
	number uint32 // 0: of nobody
	since  time.Time
	waited time.Duration // in the kernel
	read   int           // sockets that were read

	shed    int   // how many sockets are still to be handed over
	shedTo  *loop // to whom
	thinner int   // how many windows one after another there were too many loops
}

// note notes that a socket is read.
func (w *window) note(s *looped) {
	if s.seen != w.number {
		s.seen = w.number
		w.read++
	}
}

// A load is how busy a loop was in its last window.
type load struct {
	busy atomic.Int32 // of 1000
	at   atomic.Int64 // when the window ended, in nanoseconds of 1970
}

// now is how busy the loop is; one that has been waiting since is not.
func (l *load) now(now time.Time) int {
	if now.UnixNano()-l.at.Load() > int64(4*windowTime) {
		return 0
	}
	return int(l.busy.Load())
}

// waited notes a wait in the kernel, and decides whether to share.
func (l *loop) waited(from, until time.Time, wait bool) {
	w := &l.window
	if wait {
		w.waited += until.Sub(from)
	}
	whole := until.Sub(w.since)
	if whole < windowTime {
		return
	}
	busy := 1000 - int(1000*w.waited/whole)
	l.load.busy.Store(int32(busy))
	l.load.at.Store(until.UnixNano())
	read := w.read
	w.number, w.since, w.waited, w.read = w.number+1, until, 0, 0
	l.share(until, busy, read)
}

// share decides about the next window.
func (l *loop) share(now time.Time, busy, read int) {
	w := &l.window
	w.shed = 0
	switch working := int(l.of.working.Load()); {
	case busy >= fullAt && read > 1:
		if other := l.of.leastBusy(now, working); busy-other.load.now(now) >= worthIt {
			w.shedTo = other
		} else if working < len(l.of.all) && l.of.working.CompareAndSwap(int32(working), int32(working+1)) {
			w.shedTo = l.of.all[working]
		} else {
			break
		}
		w.shed = max(1, read*(busy-w.shedTo.load.now(now))/(2*busy))
	case l.index > 0 && l.index == working-1:
		if l.of.busy(now, working) > emptyAt*(working-1) {
			w.thinner = 0
		} else if w.thinner++; w.thinner >= emptyWindows {
			w.thinner = 0
			l.of.working.CompareAndSwap(int32(working), int32(working-1))
		}
	}
}

// leastBusy returns that of the first n loops.
func (l *Loops) leastBusy(now time.Time, n int) *loop {
	least := l.all[0]
	for _, other := range l.all[1:n] {
		if other.load.now(now) < least.load.now(now) {
			least = other
		}
	}
	return least
}

// busy is how busy the first n loops are together.
func (l *Loops) busy(now time.Time, n int) (sum int) {
	for _, one := range l.all[:n] {
		sum += one.load.now(now)
	}
	return sum
}

// handsOver hands a socket that has just been read over to another loop, if the loop has
// too much to do, or too little. The socket is the other's then.
func (l *loop) handsOver(s *looped) bool {
	w := &l.window
	to := w.shedTo
	if working := int(l.of.working.Load()); l.index >= working {
		to = l.of.oneOf(working)
	} else if w.shed == 0 {
		return false
	} else {
		w.shed--
	}
	s.in.park()
	l.sockets[s.fd] = nil
	syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_DEL, s.fd, nil) // it is there, so that works
	s.waiting = handedOver
	s.loop.Store(to)
	if !to.call(s) { // it has ended, and so will this one
		s.loop.Store(l)
		s.closed.Store(true)
		s.leave()
	}
	return true
}
