//go:build unix

package netio

import (
	"cmp"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A kernelSocket reads bursts from and writes staged bytes to a non-blocking socket of the
// kernel: by a goroutine that waits in Go's poller (socket), or by one of the loops
// (looped).
type kernelSocket interface {
	read() error                                  // until the stream ends, or its handler wants
	start(ended func(error))                      // the same, without waiting for it
	flushLocked(wait bool) (done bool, err error) // needs out.flushing held
	close() error                                 // never waits
	roundTrip() time.Duration
	afterRound(f interface{ RoundEnded(reader int) })
	reader() int // which loop reads it, from 1; 0: a goroutine of its own
}

// socket returns the socket under a conn, which it takes over.
func (l *Loops) socket(c net.Conn) (kernelSocket, *half, error) {
	if l != nil {
		return l.looped(c)
	}
	s, err := newSocket(c)
	if err != nil {
		return nil, nil, err
	}
	return s, &s.half, nil
}

// A half is what both have.
type half struct {
	out staged

	// Owned by the reader.
	in    readBuf
	taker taker  // set once: the stream
	err   error  // why reading ended
	most  uint32 // bytes that one read takes; 0: a burst

	// Guarded by out.flushing.
	sendErr  error
	progress bool

	working sync.WaitGroup // owned by the caller of read

	mu     sync.Mutex
	why    error       // guarded by mu: why it was closed from within, if it was
	closed atomic.Bool // set under mu
}

// A taker works through what arrived.
type taker interface {
	take(*readBuf) error
	rest(forGood bool) // nothing arrives any more, for good or for now
}

// because says why close will be called.
func (h *half) because(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.why = cmp.Or(h.why, why)
}

func flush(s kernelSocket, h *half, wait bool) (done bool, err error) {
	h.out.flushing.Lock()
	defer h.out.flushing.Unlock()
	return s.flushLocked(wait)
}

// room is where the next read puts what it gets.
func (h *half) room() ([]byte, error) {
	room := h.in.room()
	if len(room) == 0 {
		return nil, ErrBurstTooLong
	}
	if h.most > 0 {
		room = room[:min(len(room), int(h.most))]
	}
	return room, nil
}

// took has n bytes that were read worked through.
func (h *half) took(n int) error {
	h.in.add(n)
	if err := h.in.meter(n); err != nil {
		return err
	}
	return h.taker.take(&h.in)
}

// rest gives back what is held for reading.
func (h *half) rest() {
	forGood := h.closed.Load()
	h.in.end(forGood)
	h.taker.rest(forGood)
}
