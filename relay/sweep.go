package relay

import "sync"

// The sweeper looks after outboxes whose stream is full: it closes those that
// take no bytes for too long.
type sweeper struct {
	server *Server // set once

	mu      sync.Mutex
	blocked []*outbox // guarded by mu: may be full
}

// watch has the sweeper look after an outbox that may be full, until it is not.
func (w *sweeper) watch(o *outbox) {
	if o.swept.Swap(true) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blocked = append(w.blocked, o)
}

// sweep closes the conns that have taken no bytes for too long.
func (w *sweeper) sweep() {
	w.mu.Lock()
	blocked := w.blocked
	w.blocked = nil
	w.mu.Unlock()
	now := w.server.now()
	for _, o := range blocked {
		o.swept.Store(false)
		since := o.blockedAt.Load()
		if since == 0 {
			continue
		}
		if limit := o.owner.timeout; limit >= 0 && now-since > int64(limit) {
			o.owner.close(ErrWriteTimeout)
			continue
		}
		w.watch(o)
	}
}
