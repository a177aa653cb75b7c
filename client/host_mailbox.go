package client

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

// mailbox holds the latest of the values put into it, for one who takes his time.
type mailbox[T any] struct {
	mu     sync.Mutex
	latest *T            // nil: delivered; guarded by mu
	filled chan struct{} // tells of a new one
}

func newMailbox[T any]() *mailbox[T] { return &mailbox[T]{filled: make(chan struct{}, 1)} }

// put never waits.
func (m *mailbox[T]) put(v T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latest = &v
	select {
	case m.filled <- struct{}{}:
	default:
	}
}

func (m *mailbox[T]) take() *T {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.latest
	m.latest = nil
	return v
}

// deliver hands values over, one at a time, until ctx ends. What to says no to it gets again after a while, or what is newer then.
func (m *mailbox[T]) deliver(ctx context.Context, to func(context.Context, T) error) {
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
