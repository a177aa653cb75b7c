// Package mailbox hands the latest of some values to one who takes his time.
package mailbox

import (
	"context"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/retry"
)

const (
	firstRedelivery = time.Second
	lastRedelivery  = time.Minute
)

// Mailbox holds the latest of the values put into it, for one who takes his time.
type Mailbox[T any] struct {
	mu     sync.Mutex
	latest *T            // nil: delivered; guarded by mu
	filled chan struct{} // has one while there is a latest that nobody is about to take
}

// New returns an empty one.
func New[T any]() *Mailbox[T] { return &Mailbox[T]{filled: make(chan struct{}, 1)} }

// Put never waits.
func (m *Mailbox[T]) Put(v T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latest = &v
	select {
	case m.filled <- struct{}{}:
	default:
	}
}

func (m *Mailbox[T]) take() *T {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.filled: // or else what is refused now would be delivered again at once
	default:
	}
	v := m.latest
	m.latest = nil
	return v
}

// Deliver hands values over, one at a time, until ctx ends. What to says no to it
// gets again after a while, or what is newer then.
func (m *Mailbox[T]) Deliver(ctx context.Context, to func(context.Context, T) error) {
	var again *T // was refused
	pace := retry.Backoff{First: firstRedelivery, Most: lastRedelivery}
	redeliver := time.NewTimer(0)
	defer redeliver.Stop()
	for {
		select {
		case <-m.filled:
		case <-redeliver.C:
		case <-ctx.Done():
			return
		}
		if v := m.take(); v != nil {
			again = v
			pace.Reset()
		}
		if again == nil {
			continue
		}
		if to(ctx, *again) == nil {
			again = nil
			continue
		}
		redeliver.Reset(pace.Next())
	}
}
