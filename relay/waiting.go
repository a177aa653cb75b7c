package relay

import (
	"cmp"
	"context"
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
	defer context.AfterFunc(w.Context, func() {
		if w.GiveUp() {
			l.stream.Close()
		}
	})()
	err := l.stream.ReadBursts(w.Hold)
	if cause := timeoutOf(w.Context); w.Left(err) {
		return nil, cmp.Or(cause, err)
	}
	<-l.done
	if l.conn == nil {
		return nil, l.err
	}
	if early := w.Rest(); errors.Is(err, waiter.ErrOver) && len(early) > 0 {
		err = l.stream.ReadBursts(func(burst []byte) (used int, err error) {
			used, early, err = l.conn.join(early, burst)
			return used, err
		})
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
	used, err := c.ingest(early)
	if err != nil && err != errRest { // it rests after its next burst, if it still owes something
		c.close(err)
	}
	return used
}

// join completes the frame that the peer had begun to send ahead. It is the handler
// of the stream until that is done, and returns what is left to be completed.
func (c *conn) join(early, burst []byte) (used int, left []byte, err error) {
	missing := max(derp.HeaderLen, frameLen(early)) - len(early)
	used = min(missing, len(burst))
	early = append(early, burst[:used]...)
	n, err := c.ingest(early)
	early = early[n:]
	if err == errRest {
		err = nil
	}
	if err == nil && len(early) == 0 {
		err = waiter.ErrOver
	}
	return used, early, err
}
