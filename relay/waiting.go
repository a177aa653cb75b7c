package relay

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/detour-relay/detour/derp"
)

// While a peer waits for admission, the goroutine that stays with its conn reads
// on, so that a peer that leaves is noticed. What the peer sends meanwhile is
// held, within bounds, and relayed first once it is in. An answer that comes at
// once spares all that.

const (
	// watchAfter is how long an admission may take before the peer is watched.
	watchAfter = 50 * time.Millisecond

	// maxEarly is how much a peer may send ahead. With more, nothing is read until
	// the admission is decided.
	maxEarly = 4 << 10
)

// A waiter is a peer that waits for admission.
type waiter struct {
	ctx    context.Context // of the callback
	cancel context.CancelFunc

	over chan struct{} // closed when state is not undecided any more

	mu    sync.Mutex
	state waiterState // guarded by mu
	early []byte      // guarded by mu until state is decided, then the reader's: what the peer has sent ahead
}

type waiterState uint8

const (
	undecided waiterState = iota
	decided               // admitted or refused
	gaveUp                // the peer has left, or its time is up
)

// errWaited ends the watching of a peer whose waiting is over.
var errWaited = errors.New("relay: the peer does not wait any more")

func newWaiter(ctx context.Context, cancel context.CancelFunc) *waiter {
	return &waiter{ctx: ctx, cancel: cancel, over: make(chan struct{})}
}

// endLocked ends the waiting, if it has not ended before, and returns how it has.
func (w *waiter) endLocked(state waiterState) waiterState {
	if w.state == undecided {
		w.state = state
		close(w.over)
	}
	return w.state
}

// admit registers the conn, sends the answer and relays what the peer has sent
// ahead, unless the peer has been given up.
func (w *waiter) admit(c *conn, a *Admission, answer []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.endLocked(decided) != decided {
		return false
	}
	c.admitted(a)
	c.begin(answer)
	if len(w.early) > 0 {
		used, err := c.ingest(w.early)
		if err != nil {
			c.close(err)
		}
		w.early = w.early[used:]
	}
	return true
}

// refuse wakes whoever watches the peer by closing its stream.
func (w *waiter) refuse(stream Stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.endLocked(decided) == decided {
		stream.Close()
	}
}

// giveUp ends the waiting without a decision, and then the call of Admit. It is
// false if there is a decision.
func (w *waiter) giveUp() bool {
	defer w.cancel()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.endLocked(gaveUp) == gaveUp
}

// wait returns the conn when the peer is admitted and all that it sent ahead is
// relayed. It does not wait for a callback that ignores its context.
func (w *waiter) wait(l *login) (*conn, error) {
	soon := time.NewTimer(watchAfter)
	defer soon.Stop()
	select {
	case <-l.done:
		return l.conn, l.err
	case <-w.ctx.Done():
	case <-soon.C:
	}
	defer context.AfterFunc(w.ctx, func() {
		if w.giveUp() {
			l.stream.Close()
		}
	})()
	err := l.stream.ReadBursts(w.hold)
	if cause := timeoutOf(w.ctx); w.left(err) {
		return nil, cmp.Or(cause, err)
	}
	<-l.done
	if l.conn == nil {
		return nil, l.err
	}
	if errors.Is(err, errWaited) && len(w.early) > 0 {
		err = l.stream.ReadBursts(func(burst []byte) (int, error) { return w.join(l.conn, burst) })
	}
	if !errors.Is(err, errWaited) {
		l.conn.close(err)
	}
	return l.conn, nil
}

// hold is the handler of the stream while the peer waits.
func (w *waiter) hold(burst []byte) (used int, err error) {
	w.mu.Lock()
	if w.state == undecided && len(w.early)+len(burst) <= maxEarly {
		w.early = append(w.early, burst...)
		w.mu.Unlock()
		return len(burst), nil
	}
	w.mu.Unlock()
	<-w.over
	return 0, errWaited
}

// left reports whether the peer has been given up, which it is when the watching
// ended with an error before the decision.
func (w *waiter) left(err error) bool {
	if errors.Is(err, errWaited) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.state == gaveUp
	}
	return w.giveUp()
}

// join completes the frame that the peer had begun to send ahead. It is the
// handler of the stream until that is done.
func (w *waiter) join(c *conn, burst []byte) (used int, err error) {
	missing := max(derp.HeaderLen, frameLen(w.early)) - len(w.early)
	used = min(missing, len(burst))
	w.early = append(w.early, burst[:used]...)
	n, err := c.ingest(w.early)
	w.early = w.early[n:]
	if err == nil && len(w.early) == 0 {
		err = errWaited
	}
	return used, err
}
