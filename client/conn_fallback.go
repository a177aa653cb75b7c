package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/detour-relay/detour/internal/reach"
)

// maxHang is how long a request to upgrade may stay without an answer until a
// WebSocket is tried beside it; less if there is less than twice as much time.
const maxHang = 5 * time.Second

// notUpgraded is what a relay would not have done with the request to take the
// connection over: it refuses after the login only. So something before it did.
type notUpgraded struct{ err error }

func (e *notUpgraded) Error() string { return e.err.Error() }
func (e *notUpgraded) Unwrap() error { return e.err }

// either is one Dial that may end as a WebSocket.
type either struct {
	*target
	steps
	ended chan struct{} // closed when the attempt to upgrade has ended, after err was set
	err   error
}

// dialEither tries the usual upgrade, and if that is not answered as a relay answers, a
// WebSocket.
func (t *target) dialEither(ctx context.Context) (*Conn, error) {
	e := &either{target: t, steps: newSteps(), ended: make(chan struct{})}
	c, err := reach.Race(ctx, reach.Stages[*Conn]{Discard: func(c *Conn) { c.abort(ErrClosed) }}, e.upgrade, e.webSocket)
	if err == nil {
		return c, nil
	}
	return nil, e.story(ctx, err)
}

func (e *either) upgrade(ctx context.Context) (*Conn, error) {
	defer close(e.ended)
	c, err := e.dial(ctx, false, e.steps)
	e.err = err
	return c, err
}

// errNoUse: a WebSocket was not tried.
var errNoUse = errors.New("WebSocket was not tried")

// webSocket waits until a WebSocket may be of use.
func (e *either) webSocket(ctx context.Context) (*Conn, error) {
	if !e.hangs(ctx) {
		return nil, errNoUse
	}
	c, err := e.dial(ctx, true, newSteps())
	if err != nil {
		err = fmt.Errorf("WebSocket: %w", err)
	}
	return c, err
}

// hangs waits until the upgrade has failed for a reason that a WebSocket may not have,
// or takes too long. It returns false if it has done neither.
func (e *either) hangs(ctx context.Context) bool {
	select {
	case <-e.asked:
	case <-e.ended:
		return e.lost()
	case <-ctx.Done():
		return false
	}
	hang := time.NewTimer(hangTime(ctx))
	defer hang.Stop()
	select {
	case <-hang.C:
		return true
	case <-e.answered:
		return false
	case <-e.ended:
		return e.lost()
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
func (e *either) lost() bool {
	_, lost := errors.AsType[*notUpgraded](e.err)
	return lost
}

// story returns what is to be said of both attempts.
func (e *either) story(ctx context.Context, err error) error {
	ended := isClosed(e.ended)
	switch {
	case ctx.Err() != nil && isClosed(e.asked) && !isClosed(e.answered) && !(ended && e.lost()):
		return fmt.Errorf("no answer to the request to upgrade; %w", err)
	case ended && e.err != nil && errors.Is(err, errNoUse):
		return e.err
	case errors.Is(err, errNoUse):
		return context.Cause(ctx) // also if the upgrade succeeded in the same moment
	}
	return err
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
