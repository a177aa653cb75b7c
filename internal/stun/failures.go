package stun

import (
	"context"
	"time"

	"github.com/detour-relay/detour/internal/retry"
)

// failures are those to receive, in a row. Whoever reads waits after each but the
// first, so as not to spin over a socket that is broken: a single one, such as
// news that nobody listens where something was sent, says nothing of the socket.
type failures struct {
	row  int
	pace retry.Backoff
}

// add counts a failure.
func (f *failures) add() { f.row++ }

// end is for when something was received.
func (f *failures) end() { *f = failures{} }

// wait waits as long as the failures ask for, or until closed.
func (f *failures) wait(closed <-chan struct{}) {
	if f.row < 2 {
		return
	}
	f.pace.First, f.pace.Most = 20*time.Millisecond, time.Second
	retry.Rest(context.Background(), f.pace.Next(), closed)
}
