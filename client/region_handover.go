package client

import (
	"context"
	"time"
)

const (
	maxReconnectIn = 30 * time.Second // whatever a relay asks for
	maxTryFor      = time.Minute

	lingerTime = 5 * time.Second  // after the switch, for packets that still come on the old connection
	flushTime  = 30 * time.Second // for the old relay to take in what we sent
)

// restart is what a relay says of its restart.
type restart struct{ reconnectIn, tryFor time.Duration }

// prepareHandover waits until the relay wants us to reconnect. The nodes are then
// tried in the usual order, the one that restarts among them: if it is upgraded,
// the process that takes over has its listener already; if it goes away, it refuses
// us at once. Packets travel on the old connection until there is a new one.
func (r *Region) prepareHandover(s *session, notice restart) {
	timer := time.NewTimer(min(notice.reconnectIn, maxReconnectIn))
	defer timer.Stop()
	select {
	case <-timer.C:
		r.keeper.leaving = s
		r.keeper.quickUntil = time.Now().Add(min(notice.tryFor, maxTryFor))
	case <-s.suspected:
		r.prepareSilentFailover(s)
	case <-s.conn.done:
		r.lost(s)
	case <-r.ctx.Done():
		s.conn.Close()
	}
}

// leavingDone returns what tells of the end of the connection that is being
// replaced, and nil if there is none.
func (k *keeper) leavingDone() <-chan struct{} {
	if k.leaving == nil {
		return nil
	}
	return k.leaving.conn.done
}

// release lets go of a connection that is not sent on any more: first those who are
// still sending on it finish, then a Pong says that the relay has taken in all of
// it; what still comes in is received until the relay ends the connection, or for a
// time that is long enough for what was under way.
func (r *Region) release(s *session) {
	defer s.conn.Close()
	linger := time.NewTimer(lingerTime)
	defer linger.Stop()
	ctx, cancel := context.WithTimeout(r.ctx, flushTime)
	defer cancel()
	select {
	case <-s.sent():
	case <-s.conn.done:
	case <-ctx.Done():
	}
	s.conn.Ping(ctx) // without a Pong in this time there is nothing left to wait for
	select {
	case <-linger.C:
	case <-s.conn.done:
	case <-r.ctx.Done():
	}
}
