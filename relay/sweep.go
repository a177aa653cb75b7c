package relay

import (
	"cmp"
	"slices"
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
	w.sweepFrames()
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

// sweepFrames closes conns whose frame has been begun for too long. What has come of
// such frames is held: all together may be a quarter of what outboxes may, and beyond
// it who has begun first does not get the whole time.
func (w *sweeper) sweepFrames() {
	held, most := 0, int(w.server.outboxes.Most()/4)
	begun := slices.DeleteFunc(w.begun.Take(), func(c *conn) bool {
		c.swept.Store(false)
		held += int(c.begun.Load())
		return c.begunAt.Load() == 0 || c.ended.Load() != nil
	})
	if most > 0 && held > most {
		slices.SortFunc(begun, func(a, b *conn) int { return cmp.Compare(a.begunAt.Load(), b.begunAt.Load()) })
	}
	for _, c := range begun {
		switch since := c.begunAt.Load(); {
		case since == 0:
		case most > 0 && held > most, w.server.clock.Now()-since > uint32(inTicks(frameTimeout)):
			held -= int(c.begun.Load())
			c.close(ErrFrameTimeout)
		default:
			w.watchFrame(c)
		}
	}
}
