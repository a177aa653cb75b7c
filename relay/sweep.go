package relay

import (
	"cmp"
	"time"

	"github.com/detour-relay/detour/internal/wheel"
)

// The sweeper looks after what would otherwise stay as it is because nothing
// moves: outboxes whose stream is full, and frames, or records of TLS, that a peer has
// begun and does not complete.
type sweeper struct {
	server  *Server // set once
	blocked wheel.List[*outbox]
	begun   wheel.Parts[*conn]
}

// frameTimeout is how long a peer may take for a frame that it has begun: at 65 KiB
// that is as slow as a modem.
const frameTimeout = 30 * time.Second

// watch has the sweeper look after an outbox that may be full, until it is not.
func (w *sweeper) watch(o *outbox) { w.blocked.Add(o, &o.swept) }

func (w *sweeper) init(s *Server) {
	w.server = s
	w.begun = wheel.Parts[*conn]{Clock: s.clock, Of: func(c *conn) *wheel.Part { return &c.part }, Held: (*conn).holds}
}

// holds returns the bytes of what a conn has begun, and whether it is still there.
func (c *conn) holds() (bytes int, here bool) {
	return int(c.begun.Load()) + c.recordBegun(), c.ended.Load() == nil
}

// sweep gives up, besides, what has been begun for too long. All of it together may be a
// quarter of what outboxes may hold, and beyond that who has begun first does not get the
// whole time.
func (w *sweeper) sweep() {
	for _, o := range w.blocked.Take() {
		w.sweepOutbox(o)
	}
	for _, c := range w.begun.Overdue(uint32(inTicks(frameTimeout)), int(w.server.outboxes.Most()/4)) {
		c.close(ErrFrameTimeout)
	}
}

// sweepOutbox closes a conn that has taken no bytes for too long, and drops what
// is too old of what waits for it.
func (w *sweeper) sweepOutbox(o *outbox) {
	o.swept.Store(false)
	since := o.blockedAt.Load()
	if since == 0 || o.owner.ended.Load() != nil {
		o.mu.Lock()
		o.box.Calm()
		o.mu.Unlock()
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
