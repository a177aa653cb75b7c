// Package waiter is for a peer that waits for a decision while somebody reads on, so
// that one that leaves is noticed. What the peer sends meanwhile is held, within
// bounds.
//
// Two goroutines have to do with a Waiter: who decides calls Admit or Refuse once, and
// who reads has Hold as the handler of the peer's stream. Whoever ends the waiting
// first has ended it.
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
// up. What relay does not use is left for Rest.
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

// Hold is the handler of the stream while the peer waits.
func (w *Waiter) Hold(burst []byte) (used int, err error) {
	w.mu.Lock()
	if w.state == undecided && len(w.early)+len(burst) <= MaxEarly {
		w.early = append(w.early, burst...)
		w.mu.Unlock()
		return len(burst), nil
	}
	w.mu.Unlock()
	<-w.over
	return 0, ErrOver
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

// Rest is what the peer has sent ahead and Admit has not used. It is for the reader,
// after the decision.
func (w *Waiter) Rest() []byte { return w.early }
