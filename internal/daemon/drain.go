package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/notify"
)

const (
	// drainSettle bounds the wait for connections that were accepted just before
	// the relay stopped accepting: a login over TLS and WebSocket takes six round trips,
	// which is a second and more where the way is long.
	drainSettle = 3 * time.Second

	// drainTimeout is how much longer than asked for draining may take.
	drainTimeout = 5 * time.Second

	drainReport = time.Second

	// foreignLook is how often one looks whether connections are left that do not come for
	// the relay.
	foreignLook = 50 * time.Millisecond
)

// Drain sends all peers elsewhere, spread over the time that the settings give, and
// returns when none is left or ctx is done; then it gives up the links. The
// siblings stay until then, so that packets can follow the peers. Its error says
// that peers are left, whom Stop will cut off. Who calls it again waits for the
// first.
func (d *Daemon) Drain(ctx context.Context) error {
	d.drained.Do(func() { d.drainError = d.drain(ctx) })
	return d.drainError
}

func (d *Daemon) drain(ctx context.Context) error {
	switch d.life.Enter(front.Draining) {
	case front.Stopped:
		return nil
	case front.Serving:
		<-d.started
	}
	d.leave()
	over := time.Duration(d.Config().Drain)
	if !d.takenOver() {
		d.log.Info("stopping", "drain", over.String())
		d.notify(notify.Stopping)
		d.health.Drain()
	}
	err := d.sendAway(ctx, over)
	d.unlink()
	d.links.Wait()
	return err
}

// sendAway returns when all peers are gone, or time is up.
func (d *Daemon) sendAway(ctx context.Context, over time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, over+drainTimeout)
	defer cancel()
	settle, settled := context.WithTimeout(ctx, min(over, drainSettle))
	d.edge.Drain(settle)
	settled()
	d.health.Drain() // not before: after a takeover, peers are welcome at this address all the time

	var reporting sync.WaitGroup
	defer reporting.Wait()
	defer cancel()
	reporting.Go(func() { d.reportDrain(ctx) })
	began := time.Now()
	if err := d.relay.Drain(ctx, over); err != nil {
		d.log.Warn("peers are left that will be cut off", "conns", d.edge.Conns(), "reason", err)
		return err
	}
	d.log.Info("all peers have left", "took", time.Since(began).String())
	d.awaitForeign(ctx, over-time.Since(began))
	return nil
}

// awaitForeign leaves those connections time that do not come for the relay: nobody can
// tell them to go elsewhere.
func (d *Daemon) awaitForeign(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if here := d.edge.Foreign(); here > 0 && ctx.Err() == nil {
		d.log.Info("draining: other servers' connections may end by themselves", "foreign", here, "most", most.Round(time.Second).String())
	}
	tick := time.NewTicker(foreignLook)
	defer tick.Stop()
	for d.edge.Foreign() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// reportDrain logs how many are left, once a second while that changes.
func (d *Daemon) reportDrain(ctx context.Context) {
	tick := time.NewTicker(drainReport)
	defer tick.Stop()
	for last := -1; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if left := d.edge.Conns(); left != last {
			d.log.Info("draining", "conns", left)
			last = left
		}
	}
}

// takenOver reports whether another process serves at our addresses.
func (d *Daemon) takenOver() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.taken
}
