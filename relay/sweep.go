package relay

import (
	"cmp"
	"sync"
	"time"
)

// The sweeper looks after what would otherwise stay as it is because nothing
// moves: outboxes whose stream is full, and frames that a peer has begun and does
// not complete.
type sweeper struct {
	server *Server // set once

	mu      sync.Mutex
	blocked []*outbox // guarded by mu: may be full
	begun   []*conn   // guarded by mu: may have begun a frame
}

// frameTimeout is how long a peer may take for a frame that it has begun: at 65 KiB
// that is as slow as a modem.
const frameTimeout = 30 * time.Second

// watch has the sweeper look after an outbox that may be full, until it is not.
func (w *sweeper) watch(o *outbox) {
	if o.swept.Swap(true) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blocked = append(w.blocked, o)
}

// watchFrame has the sweeper look after a conn that may have begun a frame, until
// it has not.
func (w *sweeper) watchFrame(c *conn) {
	if c.swept.Load() || c.swept.Swap(true) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun = append(w.begun, c)
}

func (w *sweeper) sweep() {
	w.mu.Lock()
	blocked, begun := w.blocked, w.begun
	w.blocked, w.begun = nil, nil
	w.mu.Unlock()
	for _, o := range blocked {
		w.sweepOutbox(o)
	}
	for _, c := range begun {
		w.sweepFrame(c)
	}
}

// sweepOutbox closes a conn that has taken no bytes for too long, and drops what
// is too old of what waits for it.
func (w *sweeper) sweepOutbox(o *outbox) {
	o.swept.Store(false)
	since := o.blockedAt.Load()
	if since == 0 || o.owner.ended.Load() != nil {
		o.calm()
		return
	}
	now := w.server.now()
	if limit := cmp.Or(o.owner.timeout, time.Duration(w.server.writeTimeout.Load())); limit >= 0 && now-since > int64(limit) {
		o.owner.close(ErrWriteTimeout)
		return
	}
	o.dropStale(now)
	w.watch(o)
}

// sweepFrame closes a conn whose frame has been begun for too long.
func (w *sweeper) sweepFrame(c *conn) {
	c.swept.Store(false)
	since := c.begunAt.Load()
	if since == 0 || c.ended.Load() != nil {
		return
	}
	if w.server.clock.Now()-since > uint32(inTicks(frameTimeout)) {
		c.close(ErrFrameTimeout)
		return
	}
	w.watchFrame(c)
}
