// Package waiter is for a peer that waits for a decision while somebody reads on, so
// that one that leaves is noticed. What the peer sends meanwhile is held, within
// bounds.
//
// Two goroutines have to do with a Waiter: who decides calls Admit or Refuse once, and
// who reads calls Watch. Whoever ends the waiting first has ended it.
package waiter

import (
	"context"
	"errors"
	"sync"
)

// MaxEarly is how much a peer may send ahead. With more, nothing is read until the
// decision.
const MaxEarly = 4 << 10

// ErrOver ends the watching of a peer whose waiting is over.
var ErrOver = errors.New("relay: the peer does not wait any more")

// A Waiter is one peer that waits.
type Waiter struct {
	Context context.Context // of the decision; set once
	cancel  context.CancelFunc
	over    chan struct{} // closed when state is not undecided any more

	mu    sync.Mutex
	state state  // guarded by mu
	early []byte // guarded by mu until the decision, then the reader's: what the peer has sent ahead
}

type state uint8

const (
	undecided state = iota
	decided         // admitted or refused
	gaveUp          // the peer has left, or its time is up
)

// New returns a peer that waits until ctx is done, which cancel brings about.
func New(ctx context.Context, cancel context.CancelFunc) *Waiter {
	return &Waiter{Context: ctx, cancel: cancel, over: make(chan struct{})}
}

// endLocked ends the waiting, if it has not ended before, and returns how it has.
func (w *Waiter) endLocked(as state) state {
	if w.state == undecided {
		w.state = as
		close(w.over)
	}
	return w.state
}

// Admit has relay take what the peer has sent ahead, unless the peer has been given
// up. What relay does not use is left for
// Finish.
func (w *Waiter) Admit(relay func(early []byte) (used int)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.endLocked(decided) != decided {
		return false
	}
	w.early = w.early[relay(w.early):]
	return true
}

// Refuse wakes whoever watches the peer by closing its stream.
func (w *Waiter) Refuse(closeStream func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.endLocked(decided) == decided {
		closeStream()
	}
}

// Decided reports whether there is a decision.
func (w *Waiter) Decided() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state == decided
}

// GiveUp ends the waiting without a decision, and then its context. It is false if
// there is a decision.
func (w *Waiter) GiveUp() bool {
	defer w.cancel()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.endLocked(gaveUp) == gaveUp
}

// A Stream is that of the relay.
type Stream interface {
	ReadBursts(handle func(burst []byte) (used int, err error)) error
	Close() error
}

// Watch reads what the peer sends until there is a decision, which ErrOver stands for, or
// the peer has left. It closes the stream when the context is done before.
func (w *Waiter) Watch(stream Stream) error {
	defer context.AfterFunc(w.Context, func() {
		if w.GiveUp() {
			stream.Close()
		}
	})()
	err := stream.ReadBursts(w.hold)
	if errors.Is(err, errFull) { // not in the handler: who calls it may have others to read
		<-w.over
		err = ErrOver
	}
	return err
}

// errFull ends the watching of a peer that has sent all that is held of it.
var errFull = errors.New("relay: the peer has sent too much ahead")

// hold is the handler of the stream while the peer waits.
func (w *Waiter) hold(burst []byte) (used int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.state != undecided:
		return 0, ErrOver
	case len(w.early)+len(burst) > MaxEarly:
		return 0, errFull
	}
	w.early = append(w.early, burst...)
	return len(burst), nil
}

// Left reports whether the peer has been given up, which it is when the watching
// ended with an error before the decision.
func (w *Waiter) Left(err error) bool {
	if errors.Is(err, ErrOver) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.state == gaveUp
	}
	return w.GiveUp()
}

// Finish completes the frame that the peer had begun to send ahead, if it had, and returns
// ErrOver when that is done. missing is how many bytes a frame needs at least. relay takes
// what is complete. It is for the reader, after the decision.
func (w *Waiter) Finish(stream Stream, missing func(frame []byte) int, relay func(frame []byte) (used int, err error)) error {
	if len(w.early) == 0 {
		return ErrOver
	}
	return stream.ReadBursts(func(burst []byte) (used int, err error) {
		used = min(missing(w.early), len(burst))
		w.early = append(w.early, burst[:used]...)
		n, err := relay(w.early)
		if w.early = w.early[n:]; err == nil && len(w.early) == 0 {
			err = ErrOver
		}
		return used, err
	})
}
