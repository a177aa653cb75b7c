package retry

import "sync"

// A Broadcast wakes everybody who waits for the next one. It is ready as it is.
type Broadcast struct {
	mu   sync.Mutex
	next chan struct{} // guarded by mu; nil: nobody waits
}

// Wait returns a channel that the next Send closes.
func (b *Broadcast) Wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// Send wakes those who wait.
func (b *Broadcast) Send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}
