// Package twin links the two processes of a relay's takeover (package takeover) over a
// pair of sockets, so that peers of both reach each other until the one before has sent
// all of its own away. The two have the relay's own key: as siblings they could not be
// told apart.
package twin

import (
	"context"
	"sync"

	"github.com/detour-relay/detour/internal/takeover"
	"github.com/detour-relay/detour/relay"
)

// A Link is how the relay of this process gets to that of the process before and of the
// next one.
type Link struct {
	takeover *takeover.Takeover // may be nil: there is no other process
	relay    *relay.Server
	linking  sync.WaitGroup // links to other processes
}

// New returns the link of a relay.
func New(t *takeover.Takeover, r *relay.Server) *Link { return &Link{takeover: t, relay: r} }

// Wait returns when the relay is not linked to another process any more.
func (l *Link) Wait() { l.linking.Wait() }

// Prepare links the relay to the next process, which takes over, until ctx is done.
func (l *Link) Prepare(ctx context.Context) takeover.Prepare {
	return func() (undo func(), err error) { return l.next(ctx) }
}
