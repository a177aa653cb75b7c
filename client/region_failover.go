package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/detour-relay/detour/internal/reach"
)

const (
	tcpTimeout     = 1500 * time.Millisecond // for each TCP connection of an attempt (spec section 7.2)
	attemptTimeout = 5 * time.Second         // from the beginning until a node has admitted us

	// The next node is tried as well after this time or twice what it took last
	// time, so that a node that swallows packets costs little, and a long way does
	// not mean a login at every node.
	hedgeMin = 250 * time.Millisecond
	hedgeMax = tcpTimeout

	backoffStep  = 10 * time.Millisecond // times the square of the number of failures (spec section 10.3)
	backoffMax   = 5 * time.Second
	backoffQuick = 100 * time.Millisecond // while a relay that restarts asked us to keep trying

	steady   = 2 * time.Second  // a connection that ends sooner counts as a failure
	unsteady = 30 * time.Second // for so long a node that ended one so soon is tried after the others
)

var errAttempt = fmt.Errorf("not admitted within %v", attemptTimeout)

// keeper is the state of the goroutine that keeps a Region connected:
//
//  1. connect tries the nodes until one has admitted us,
//  2. adopt makes its connection the one that packets are sent on,
//  3. hold waits until that breaks, until its relay says that it restarts, or until
//     it falls silent,
//  4. and all begins again, in the latter two cases with the old connection still
//     in use until the next is adopted. If a relay that fell silent speaks again
//     before that, everything stays as it was.
type keeper struct {
	leaving    *session // still connected, but its relay restarts or has fallen silent
	suspecting bool     // the latter
	failures   int      // rounds in a row in which no node admitted us
	flaps      int      // connections in a row that ended too soon
	quickUntil time.Time
	took       time.Duration // from dialling to admission, last time
}

func (r *Region) keep() {
	for {
		s := r.connect()
		if s == nil {
			break
		}
		if s != r.current.Load() {
			r.adopt(s)
		}
		r.hold(s)
	}
	r.current.Store(nil)
	if old := r.keeper.leaving; old != nil {
		old.conn.Close()
	}
	r.setState(r.disconnected(ErrClosed))
}

// connect tries until it succeeds, or until a relay that fell silent speaks again,
// whose session is returned then. It returns nil if the Region was closed.
func (r *Region) connect() *session {
	k := &r.keeper
	for r.pause() {
		select {
		case <-k.leavingRecovered():
			return r.cancelFailover()
		default:
		}
		s, err := r.race(r.order(time.Now()))
		if s != nil {
			k.failures = 0
			return s
		}
		k.failures++
		if k.leaving == nil && r.ctx.Err() == nil {
			r.setState(r.disconnected(err))
		}
	}
	return nil
}

// pause waits before the next round as long as past failures ask for. It returns
// false if the Region was closed.
func (r *Region) pause() bool {
	wait := r.keeper.backoff(time.Now(), rand.Float64())
	if wait == 0 {
		return r.ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.nudged:
		r.keeper.failures, r.keeper.flaps = 0, 0
	case <-r.keeper.leavingDone():
		r.lost(r.keeper.leaving)
	case <-r.ctx.Done():
		return false
	}
	return true
}

// backoff returns how long to wait; random is between 0 and 1. The first failure is
// followed by another try at once.
func (k *keeper) backoff(now time.Time, random float64) time.Duration {
	n := time.Duration(min(k.failures+k.flaps, 1000))
	if n <= 1 {
		return 0
	}
	wait := min(n*n*backoffStep, backoffMax)
	if now.Before(k.quickUntil) {
		wait = min(wait, backoffQuick)
	}
	return time.Duration(float64(wait) * (0.5 + random))
}

// order returns the nodes as configured, but those last that recently broke a
// connection as soon as they had made it.
func (r *Region) order(now time.Time) []*regionRelay {
	var first, last []*regionRelay
	for _, n := range r.relays {
		if now.Before(n.unsteadyUntil) {
			last = append(last, n)
		} else {
			first = append(first, n)
		}
	}
	return append(first, last...)
}

type outcome struct {
	session *session
	err     error
}

// race tries relays in order: the next one once an attempt has failed, or is slow.
// The first that admits us is returned, and the others are given up.
func (r *Region) race(relays []*regionRelay) (*session, error) {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	raced := r.beginRace(ctx, relays)
	for {
		select {
		case o := <-raced:
			return o.session, o.err
		case <-r.keeper.leavingDone():
			r.lost(r.keeper.leaving)
			continue
		case <-r.keeper.leavingRecovered():
		case <-r.ctx.Done():
		}
		r.running.Go(func() { giveUp(raced) })
		if r.ctx.Err() != nil {
			return nil, ErrClosed
		}
		return r.cancelFailover(), nil
	}
}

func (r *Region) beginRace(ctx context.Context, relays []*regionRelay) <-chan outcome {
	var attempts []func(context.Context) (*session, error)
	for _, to := range relays {
		attempts = append(attempts, func(ctx context.Context) (*session, error) { return r.attempt(ctx, to) })
	}
	stages := reach.Stages[*session]{
		Lead: r.keeper.hedge(), Discard: func(s *session) { s.conn.Close() }, Go: r.running.Go,
	}
	raced := make(chan outcome, 1)
	r.running.Go(func() {
		s, err := reach.Race(ctx, stages, attempts...)
		raced <- outcome{s, err}
	})
	return raced
}

// giveUp closes what a race that is not needed any more still yields.
func giveUp(raced <-chan outcome) {
	if o := <-raced; o.session != nil {
		o.session.conn.Close()
	}
}

func (k *keeper) hedge() time.Duration { return min(max(2*k.took, hedgeMin), hedgeMax) }

// attempt connects to a relay and waits until it has admitted us.
func (r *Region) attempt(ctx context.Context, to *regionRelay) (*session, error) {
	begun, preferred := time.Now(), r.preferred.Load()
	ctx, cancel := context.WithTimeoutCause(ctx, attemptTimeout, errAttempt)
	defer cancel()
	cfg := to.cfg
	cfg.Preferred = preferred
	conn, info, err := Login(ctx, cfg)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return newSession(conn, r, to, info, preferred, now, now.Sub(begun)), nil
}

// withTCPTimeout gives each TCP connection only a part of the time of the attempt.
func withTCPTimeout(dial reach.DialFunc) reach.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, tcpTimeout)
		defer cancel()
		return dial(ctx, network, addr)
	}
}

// adopt makes s the connection that packets are sent on. The one that it replaces
// is let go gently. ServerInfo is passed on last: who has received it can send, and
// finds State and Stats as they are now.
func (r *Region) adopt(s *session) {
	k := &r.keeper
	k.took = s.took
	r.stats.connects.Add(1)
	r.current.Store(s)
	s.tellPreferred(&r.preferred)
	if old := k.leaving; old != nil {
		r.noteEnd(old)
		if k.suspecting {
			r.stats.silentFailovers.Add(1)
			r.running.Go(func() { r.releaseSilent(old) })
		} else {
			r.stats.handovers.Add(1)
			r.running.Go(func() { r.release(old) })
		}
		k.leaving, k.suspecting = nil, false
	}
	r.setState(RegionState{
		Connected: true, Node: s.relay.index, Name: s.relay.name, ServerKey: s.conn.ServerKey(), Since: s.since,
	})
	r.running.Go(func() { r.read(s) })
}

// hold waits until the connection has to be replaced, and has it looked after.
func (r *Region) hold(s *session) {
	look := time.NewTimer(quietTime + rand.N(quietJitter))
	defer look.Stop()
	for {
		select {
		case <-s.conn.done:
			r.lost(s)
			return
		case notice := <-s.restarting:
			r.prepareHandover(s, notice)
			return
		case <-s.suspected:
			r.prepareSilentFailover(s)
			return
		case <-r.ctx.Done():
			s.conn.Close()
			return
		case <-look.C:
			s.tellPreferred(&r.preferred)
			next := quietTime - s.silentFor() // when it will have been silent for long, if it stays so
			if next <= 0 {
				next = quietTime
				r.running.Go(func() { s.askIfSilent(quietTime, pongTimeout) })
			}
			look.Reset(next + rand.N(quietJitter))
		case <-s.traffic:
			r.running.Go(func() { r.watchTraffic(s) })
		case <-r.nudged:
			r.running.Go(s.checkAfterChange)
		}
	}
}

// lost is for a connection that ended before another one took over.
func (r *Region) lost(s *session) {
	r.keeper.leaving, r.keeper.suspecting = nil, false
	r.current.Store(nil)
	r.noteEnd(s)
	if r.ctx.Err() == nil {
		r.setState(r.disconnected(s.conn.cause))
	}
}

// noteEnd remembers whether a connection was of use.
func (r *Region) noteEnd(s *session) {
	now := time.Now()
	if now.Sub(s.since) >= steady {
		r.keeper.flaps = 0
		return
	}
	r.keeper.flaps++
	s.relay.unsteadyUntil = now.Add(unsteady)
}

func (r *Region) disconnected(err error) RegionState {
	state := r.State()
	if state.Connected {
		state.Since = time.Now()
	}
	state.Connected, state.Err = false, err
	return state
}
