package relay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/detour-relay/detour/derp"
)

// Draining sends the peers of a relay that is about to end to its siblings, so
// that no packet is lost on the way:
//
//  1. Nobody new comes in. Every peer is told when to connect elsewhere, and
//     siblings that the relay restarts.
//  2. A peer that has turned up at a sibling is retired (chooseActiveLocked): our own
//     peers' packets for it go to the sibling, and a little later it is withdrawn
//     from the mesh, but its old conn stays, for what is under way to it.
//  3. Conns that are left are closed one by one.
//  4. What is queued is written.

const (
	drainTick = 10 * time.Millisecond

	// drainTryFor is how long peers should try before the restart is a failure to them.
	drainTryFor = 5 * time.Second

	// retireAfter is the time from the retirement of a peer to its withdrawal: by then
	// all siblings have heard where it is now. Those who hear of the withdrawal first
	// would take it for lost.
	retireAfter = 500 * time.Millisecond

	// drainFlush bounds the wait for what is queued when the last peer has left.
	drainFlush = time.Second
)

// Drain sends all peers away, spread over the time given: in the first half they
// are asked to connect elsewhere, in the second half those that are left are
// closed. It returns when no peer is left, or ctx is done. Conns of siblings and
// links stay, so that packets can follow the peers, until Shutdown.
func (s *Server) Drain(ctx context.Context, over time.Duration) error {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	d := drain{server: s, half: over / 2, begun: time.Now()}
	d.announce()
	t := time.NewTicker(drainTick)
	defer t.Stop()
	for s.peerConns() > 0 {
		d.closeDue()
		s.routes.withdrawRetired(time.Now().Add(-retireAfter))
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("relay: drain: %w", ctx.Err())
		}
	}
	return d.flush(ctx, t.C)
}

// peerConns returns how many conns there are besides those of siblings.
func (s *Server) peerConns() int64 { return s.count.conns.Load() - s.count.siblings.Load() }

type drain struct {
	server *Server
	half   time.Duration
	begun  time.Time
	left   []*conn // to be closed, in this order
	all    int     // how many there were
}

// announce begins the draining and tells everybody.
func (d *drain) announce() {
	s := d.server
	s.routes.drain()
	var siblings []*conn
	for c := range s.routes.all {
		if c.sibling {
			siblings = append(siblings, c)
		} else {
			d.left = append(d.left, c)
		}
	}
	for _, c := range siblings {
		c.pushRestarting(0)
	}
	rand.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	d.all = len(d.left)
	for i, c := range d.left {
		c.pushRestarting(d.half * time.Duration(i) / time.Duration(d.all))
	}
}

func (c *conn) pushRestarting(in time.Duration) {
	if c.out.pushControl(derp.AppendRestarting(nil, in, drainTryFor), c.controlLimit()) {
		c.out.flush(nil, c.out.page)
	}
}

// closeDue closes the conns whose time has come. At the end of the time whoever
// has come in through a login that was under way is closed too.
func (d *drain) closeDue() {
	late := time.Since(d.begun) - d.half
	if late < 0 {
		return
	}
	keep := 0
	if late < d.half {
		keep = int(float64(d.all) * float64(d.half-late) / float64(d.half))
	} else {
		for c := range d.server.routes.all {
			if !c.sibling {
				c.close(ErrRestarting)
			}
		}
	}
	for len(d.left) > keep {
		d.left[0].close(ErrRestarting)
		d.left = d.left[1:]
	}
}

// flush waits until what is queued towards siblings has been written.
func (d *drain) flush(ctx context.Context, tick <-chan time.Time) error {
	for end := time.Now().Add(drainFlush); d.server.queued() > 0 && time.Now().Before(end); {
		select {
		case <-tick:
		case <-ctx.Done():
			return fmt.Errorf("relay: drain: %w", ctx.Err())
		}
	}
	return nil
}

// A retiree is a route that was retired, and when.
type retiree struct {
	route *route
	at    time.Time
}

// withdrawRetired tells watchers of peers that retired before, and are still here.
func (r *routes) withdrawRetired(before time.Time) {
	r.update(func(n *notices) {
		for len(r.retirees) > 0 && r.retirees[0].at.Before(before) {
			rt := r.retirees[0].route
			r.retirees = r.retirees[1:]
			if rt.retired && !rt.withdrawn && len(rt.conns) > 0 {
				rt.withdrawn = true
				r.announceGoneLocked(rt.key, n)
			}
		}
	})
}

// drain makes peers retire that are at a sibling, now and later.
func (r *routes) drain() {
	r.update(func(n *notices) {
		r.draining = true
		r.table.Each(func(rt *route) { r.chooseActiveLocked(rt, n) })
	})
}
