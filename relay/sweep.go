package relay

import (
	"cmp"
	"time"

	"github.com/detour-relay/detour/internal/wheel"
)

// The sweeper looks after what would otherwise stay as it is because nothing
// moves: outboxes whose stream is full, and frames that a peer has begun and does
// not complete.
type sweeper struct {
	server  *Server // set once
	blocked wheel.List[*outbox]
	begun   wheel.List[*conn] // that may have begun a frame
}

// frameTimeout is how long a peer may take for a frame that it has begun: at 65 KiB
// that is as slow as a modem.
const frameTimeout = 30 * time.Second

// watch has the sweeper look after an outbox that may be full, until it is not.
func (w *sweeper) watch(o *outbox) { w.blocked.Add(o, &o.swept) }

// watchFrame has the sweeper look after a conn that may have begun a frame, until
// it has not.
func (w *sweeper) watchFrame(c *conn) { w.begun.Add(c, &c.swept) }

func (w *sweeper) sweep() {
	for _, o := range w.blocked.Take() {
		w.sweepOutbox(o)
	}
	for _, c := range w.begun.Take() {
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
