package relay

import (
	"cmp"
	"errors"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/waiter"
)

// While a peer waits for admission, the goroutine that stays with its conn reads
// on (package waiter), so that a peer that leaves is noticed. What the peer sends
// meanwhile is relayed first once it is in. An answer that comes at once spares all
// that.

// watchAfter is how long an admission may take before the peer is watched.
const watchAfter = 50 * time.Millisecond

// wait returns the conn when the peer is admitted and all that it sent ahead is
// relayed. It does not wait for a callback that ignores its context.
func (l *login) wait() (*conn, error) {
	w := l.waiting
	if w.Decided() {
		<-l.done
		return l.conn, l.err
	}
	err := w.Watch(l.stream)
	if cause := timeoutOf(w.Context); w.Left(err) {
		return nil, cmp.Or(cause, err)
	}
	<-l.done
	if l.conn == nil {
		return nil, l.err
	}
	if errors.Is(err, waiter.ErrOver) {
		err = w.Finish(l.stream, missing, l.conn.ingestEarly)
	}
	if !errors.Is(err, waiter.ErrOver) {
		l.conn.close(err)
	}
	return l.conn, nil
}

// relayEarly relays what the peer has sent ahead, as far as its frames are complete.
func (c *conn) relayEarly(early []byte) (used int) {
	if len(early) == 0 {
		return 0
	}
	used, err := c.ingestEarly(early)
	if err != nil {
		c.close(err)
	}
	return used
}

// ingestEarly is ingest without rests: the conn rests after its next burst, if it still
// owes something.
func (c *conn) ingestEarly(early []byte) (used int, err error) {
	if used, err = c.ingest(early); err == errRest {
		err = nil
	}
	return used, err
}

// missing returns how many bytes the frame needs that p begins, as far as is known.
func missing(p []byte) int { return max(derp.HeaderLen, frameLen(p)) - len(p) }
