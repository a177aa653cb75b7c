package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// A relay may be dead without anybody having said so: its machine vanished, the
// network swallows packets, the process hangs. It is asked for a Pong when it has
// been silent, soon if there is traffic. It is not silent while we do not listen.
const (
	quietTime   = 20 * time.Second // of a relay to which nothing is sent
	quietJitter = 5 * time.Second  // more, so that those who connected together do not ask together
	pongTimeout = 10 * time.Second

	sendQuiet      = time.Second // of one to which packets are sent
	sendTimeout    = time.Second // for its Pong, at first; a false alarm doubles it
	maxSendTimeout = 16 * time.Second
	recoveryLook   = 100 * time.Millisecond

	changeTimeout = 3 * time.Second // after the network has changed (spec section 10.6)
)

var errLostAddr = errors.New("this host has lost the address that the connection comes from")

// hear notes that something has arrived.
func (s *session) hear() {
	now := int64(time.Since(s.region.born))
	s.heard.Store(now)
	s.region.heard.Store(now)
}

// Whether a session is watched for silence because packets are sent or received.
const (
	unwatched  = iota
	watched    // nothing was sent since the watcher looked last
	watchedNew // something was
)

// streaming is for how many looks in a row packets have to come until their end is
// worth a question.
const streaming = 3

// noteSend has the session watched.
func (s *session) noteSend() {
	switch s.watch.Load() {
	case watchedNew:
	case watched:
		s.watch.CompareAndSwap(watched, watchedNew)
	case unwatched:
		if s.watch.CompareAndSwap(unwatched, watchedNew) {
			s.traffic <- struct{}{} // has room: the keeper takes it before the watch can end
		}
	}
}

// noteReceived has the session watched, too: a stream that stops may have lost its
// relay.
func (s *session) noteReceived() {
	if s.watch.Load() == unwatched && s.watch.CompareAndSwap(unwatched, watched) {
		s.traffic <- struct{}{} // has room, likewise
	}
}

// silentFor returns how long nothing has arrived.
func (s *session) silentFor() time.Duration {
	return time.Since(s.region.born) - time.Duration(s.heard.Load())
}

// silent asks for a Pong, and reports whether nothing at all came after heard.
func (s *session) silent(heard int64, timeout time.Duration) bool {
	if s.held.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	_, err := s.conn.Ping(ctx)
	return err != nil && s.heard.Load() == heard && !s.held.Load()
}

func (s *session) fallSilent(timeout time.Duration) {
	s.conn.fail(fmt.Errorf("%w: no Pong within %v", ErrSilent, timeout))
}

// checkAfterChange gives up a connection that a change of the network has cut off.
func (s *session) checkAfterChange() {
	if s.lostAddr() {
		s.conn.fail(errLostAddr)
		return
	}
	s.askIfSilent(0, changeTimeout)
}

// lostAddr reports whether our address of the connection is none of this host's any
// more.
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

// askIfSilent gives up a relay that has said nothing for a while, and says nothing
// when it is asked.
func (s *session) askIfSilent(quiet, timeout time.Duration) {
	heard := s.heard.Load()
	if s.silentFor() >= quiet && s.silent(heard, timeout) {
		s.fallSilent(timeout)
	}
}

// watchTraffic looks, for as long as there is traffic, whether the relay says
// anything. That it was silent before means nothing; so it has time from now on. It
// is asked if sending goes on, and when a stream of packets from it has stopped.
func (r *Region) watchTraffic(s *session) {
	for stream := 0; ; {
		heard := s.heard.Load()
		wait := sendQuiet - s.silentFor()
		if wait <= 0 {
			wait = sendQuiet
		}
		s.watch.Store(watched)
		if !s.wait(wait) {
			return
		}
		if s.heard.Load() != heard {
			stream++
			continue
		}
		sending := s.watch.Load() == watchedNew || s.senders.Load() > 0
		if (sending || stream >= streaming) && s.silent(heard, time.Duration(r.timeout.Load())) {
			s.suspect(heard)
		}
		stream = 0
		if !sending && s.watch.CompareAndSwap(watched, unwatched) {
			return
		}
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

// suspect has the keeper look for another relay, until this one is heard again or
// is given up.
func (s *session) suspect(heard int64) {
	select {
	case <-s.recovered: // of another time
	default:
	}
	select {
	case s.suspected <- struct{}{}:
	default: // the keeper has not looked since, as it is busy with another connection
	}
	for s.wait(recoveryLook) {
		if s.heard.Load() != heard {
			select {
			case s.recovered <- struct{}{}:
			default:
			}
			return
		}
		if s.silentFor() > quietTime+pongTimeout {
			s.fallSilent(quietTime + pongTimeout)
			return
		}
	}
}
