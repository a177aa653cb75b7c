package reach

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// maxHang is how long a request to upgrade may stay without an answer until a
// WebSocket is tried beside it; less if there is less than twice as much time.
const maxHang = 5 * time.Second

// Steps tell how far an attempt to upgrade has come.
type Steps struct{ asked, answered, greeted chan struct{} }

// NewSteps returns the steps of one attempt.
func NewSteps() *Steps {
	return &Steps{make(chan struct{}), make(chan struct{}), make(chan struct{})}
}

// Asked tells that the request to take the connection over goes out. It is called once.
func (s *Steps) Asked() { close(s.asked) }

// Answered tells that the answer to it was 101. It is called once.
func (s *Steps) Answered() { close(s.answered) }

// Greeted tells that a relay has greeted us behind it: what is before the relay may
// answer 101 itself. It is called once.
func (s *Steps) Greeted() { close(s.greeted) }

// NotUpgraded is what a relay would not have done with the request to take the
// connection over, see [StatusError.OwnWord]. So something before it did.
type NotUpgraded struct{ Err error }

func (e *NotUpgraded) Error() string { return e.Err.Error() }
func (e *NotUpgraded) Unwrap() error { return e.Err }

// Fallback is one dial that may end as a WebSocket.
type Fallback[T any] struct {
	// Upgrade makes the usual attempt, and tells how far it has come.
	Upgrade func(context.Context, *Steps) (T, error)
	// WebSocket makes the other one.
	WebSocket func(context.Context) (T, error)
	// Discard gets what succeeds when it is not wanted any more.
	Discard func(T)

	steps *Steps
	ended chan struct{} // closed when the attempt to upgrade has ended, after err was set
	err   error
}

// Dial tries the usual upgrade, and if that is not answered as a relay answers, a
// WebSocket. ctx must have a deadline.
func (f Fallback[T]) Dial(ctx context.Context) (T, error) {
	f.steps, f.ended = NewSteps(), make(chan struct{})
	got, err := Race(ctx, Stages[T]{Discard: f.Discard}, f.upgrade, f.webSocket)
	if err == nil {
		return got, nil
	}
	return got, f.story(ctx, err)
}

func (f *Fallback[T]) upgrade(ctx context.Context) (T, error) {
	defer close(f.ended)
	got, err := f.Upgrade(ctx, f.steps)
	f.err = err
	return got, err
}

// errNoUse: a WebSocket was not tried.
var errNoUse = errors.New("WebSocket was not tried")

// webSocket waits until a WebSocket may be of use.
func (f *Fallback[T]) webSocket(ctx context.Context) (none T, err error) {
	if !f.hangs(ctx) {
		return none, errNoUse
	}
	got, err := f.WebSocket(ctx)
	if err != nil && isClosed(f.ended) && f.err != nil && err.Error() == f.err.Error() {
		return none, sameError{err}
	}
	if err != nil {
		return none, fmt.Errorf("WebSocket: %w", err)
	}
	return got, nil
}

// sameError is for a WebSocket that fails as the upgrade did.
type sameError struct{ error }

func (e sameError) Error() string { return "WebSocket: the same" }
func (e sameError) Unwrap() error { return e.error }

// hangs waits until the upgrade has failed for a reason that a WebSocket may not have,
// or takes too long. It returns false if it has done neither.
func (f *Fallback[T]) hangs(ctx context.Context) bool {
	select {
	case <-f.steps.asked:
	case <-f.ended:
		return f.lost()
	case <-ctx.Done():
		return false
	}
	hang := time.NewTimer(hangTime(ctx))
	defer hang.Stop()
	select {
	case <-hang.C:
		return true
	case <-f.steps.greeted:
		return false
	case <-f.ended:
		return f.lost()
	case <-ctx.Done():
		return false
	}
}

func hangTime(ctx context.Context) time.Duration {
	end, _ := ctx.Deadline() // there is one
	return min(time.Until(end)/2, maxHang)
}

// lost reports whether the request to upgrade was lost on the way to the relay. The
// attempt has ended.
func (f *Fallback[T]) lost() bool {
	_, lost := errors.AsType[*NotUpgraded](f.err)
	return lost
}

// story returns what is to be said of both attempts.
func (f *Fallback[T]) story(ctx context.Context, err error) error {
	if ctx.Err() != nil && !isClosed(f.steps.asked) {
		return f.hungBefore(err)
	}
	ended := isClosed(f.ended)
	switch {
	case ctx.Err() != nil && isClosed(f.steps.asked) && !isClosed(f.steps.greeted) && !(ended && f.lost()):
		return fmt.Errorf("%s; %w", f.missing(), err)
	case ended && f.err != nil && errors.Is(err, errNoUse):
		return f.err
	case errors.Is(err, errNoUse):
		return context.Cause(ctx) // also if the upgrade succeeded in the same moment
	}
	return err
}

// graceOfEnd is how long an attempt whose time is over may take to say where it hung.
const graceOfEnd = 100 * time.Millisecond

// hungBefore returns what took so long that there was no time left to ask: it may be
// the proxy.
func (f *Fallback[T]) hungBefore(err error) error {
	grace := time.NewTimer(graceOfEnd)
	defer grace.Stop()
	select {
	case <-f.ended:
		return cmp.Or(f.err, err)
	case <-grace.C: // a dialler that does not care for its context
		return err
	}
}

// missing says what an attempt waited for that took too long.
func (f *Fallback[T]) missing() string {
	if isClosed(f.steps.answered) {
		return "no greeting after HTTP status 101"
	}
	return "no answer to the request to upgrade"
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
