package client

import (
	"context"
	"time"
)

// prepareSilentFailover begins the search for another connection, since this one
// has fallen silent. The nodes are tried in the usual order, so that only a
// connection that a middlebox has forgotten is replaced by one to the same relay;
// but a relay that admits us and soon falls silent comes after the others. Packets
// go on to travel on the old connection until there is a new one, and stay there if
// it is heard again before.
func (r *Region) prepareSilentFailover(s *session) {
	r.keeper.leaving, r.keeper.suspecting = s, true
	if now := time.Now(); now.Sub(s.since) < unsteady {
		s.relay.unsteadyUntil = now.Add(unsteady)
	}
}

// leavingRecovered returns what tells that the relay which fell silent speaks
// again.
func (k *keeper) leavingRecovered() <-chan struct{} {
	if k.leaving == nil || !k.suspecting {
		return nil
	}
	return k.leaving.recovered
}

// cancelFailover returns the session whose relay speaks again.
func (r *Region) cancelFailover() *session {
	s := r.keeper.leaving
	r.keeper.leaving, r.keeper.suspecting = nil, false
	r.falseAlarm()
	return s
}

// falseAlarm makes the timeout longer: the way to the relay is slow, or it reads
// slowly what we send.
func (r *Region) falseAlarm() {
	r.timeout.Store(int64(min(2*time.Duration(r.timeout.Load()), maxSendTimeout)))
}

// releaseSilent lets go of a connection whose relay fell silent. Most probably it
// is dead: whoever is still sending on it is not kept waiting. If it does answer,
// it is released like any other.
func (r *Region) releaseSilent(s *session) {
	ctx, cancel := context.WithTimeout(r.ctx, time.Duration(r.timeout.Load()))
	defer cancel()
	select {
	case <-s.sent():
	case <-s.conn.done:
	case <-ctx.Done():
		s.conn.Close()
		return
	}
	if _, err := s.conn.Ping(ctx); err != nil {
		s.conn.Close()
		r.timeout.Store(int64(sendTimeout))
		return
	}
	r.falseAlarm()
	r.release(s)
}
