package client

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"
)

// A relay may be dead without anybody having said so: its machine vanished, the network swallows packets, the process hangs.
// It is asked for a Pong when it has been silent, soon if packets are being sent to it. It is not silent while we do not listen.
const (
	quietTime    = 20 * time.Second // of a relay to which nothing is sent
	pongPatience = 10 * time.Second

	sendQuiet       = time.Second // of one to which packets are sent
	sendPatience    = time.Second // for its Pong, at first; a false alarm doubles it
	maxSendPatience = 16 * time.Second
	recoveryLook    = 100 * time.Millisecond

	changePatience = 3 * time.Second // after the network has changed (spec section 10.6)
)

// hear notes that something has arrived.
func (s *session) hear() {
	now := int64(time.Since(s.region.born))
	s.heard.Store(now)
	s.region.heard.Store(now)
}

// noteSend tells tend that packets are being sent, unless it knows.
func (s *session) noteSend() {
	if !s.watched.Load() && s.watched.CompareAndSwap(false, true) {
		select {
		case s.sending <- struct{}{}:
		default:
		}
	}
}

// tend watches a session until its end.
func (r *Region) tend(s *session) {
	tick := time.NewTicker(quietTime)
	defer tick.Stop()
	for {
		heard := s.heard.Load()
		select {
		case <-tick.C:
			if r.current.Load() == s {
				s.tellPreferred(&r.preferred)
			}
			if s.silentFor() >= quietTime && s.silent(heard, pongPatience) {
				s.fallSilent(pongPatience)
			}
		case <-s.sending:
			r.watchSending(s)
		case <-s.asked:
			if s.lostAddr() || s.silent(heard, changePatience) {
				s.fallSilent(changePatience)
			}
		case <-s.conn.done:
			return
		}
	}
}

// silentFor returns how long nothing has arrived.
func (s *session) silentFor() time.Duration {
	return time.Since(s.region.born) - time.Duration(s.heard.Load())
}

// silent asks for a Pong, and reports whether nothing at all came after heard.
func (s *session) silent(heard int64, patience time.Duration) bool {
	if s.held.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.conn.Ping(ctx)
	return err != nil && s.heard.Load() == heard && !s.held.Load()
}

func (s *session) fallSilent(patience time.Duration) {
	s.conn.fail(fmt.Errorf("%w: no Pong within %v", ErrSilent, patience))
}

// askSoon has tend find out whether the relay is still there.
func (s *session) askSoon() {
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// lostAddr reports whether our address of the connection is none of this host's any more.
func (s *session) lostAddr() bool {
	local, ok := s.conn.LocalAddr().(*net.TCPAddr)
	addrs, err := net.InterfaceAddrs()
	if !ok || err != nil || local.IP.IsLoopback() {
		return false
	}
	return !slices.ContainsFunc(addrs, func(a net.Addr) bool {
		network, ok := a.(*net.IPNet)
		return ok && network.IP.Equal(local.IP)
	})
}

// watchSending looks whether a relay that packets are sent to says anything. That it was silent before means nothing; so it has
// time from now on, and is asked only if sending goes on.
func (r *Region) watchSending(s *session) {
	heard := s.heard.Load()
	wait := sendQuiet - s.silentFor()
	if wait <= 0 {
		wait = sendQuiet
	}
	s.watched.Store(false)
	if !s.wait(wait) || s.heard.Load() != heard || !s.watched.Load() && s.senders.Load() == 0 {
		return
	}
	if s.silent(heard, time.Duration(r.patience.Load())) {
		s.suspect(heard)
	}
}

// wait reports whether the session lives for so long.
func (s *session) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.conn.done:
		return false
	}
}

// suspect has the keeper look for another relay, until this one is heard again or is given up.
func (s *session) suspect(heard int64) {
	select {
	case s.suspected <- struct{}{}:
	default:
		return // it is on its way out anyway
	}
	for s.wait(recoveryLook) {
		if s.heard.Load() != heard {
			s.recovered <- struct{}{} // has room: whoever takes it makes room in suspected first
			return
		}
		if s.silentFor() > quietTime+pongPatience {
			s.fallSilent(quietTime + pongPatience)
			return
		}
	}
}
