package main

import (
	"context"
	"sync"
	"time"
)

const (
	// drainSettle bounds the wait for connections that were accepted just before
	// the relay stopped accepting.
	drainSettle = time.Second

	// drainPatience is how much longer than asked for draining may take.
	drainPatience = 5 * time.Second

	drainReport = time.Second
)

// drain sends all peers elsewhere, spread over the time given, and returns when
// none is left or ctx is done. The relay's siblings stay, so that packets can
// follow the peers.
func (p *relayProcess) drain(ctx context.Context, over time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, over+drainPatience)
	defer cancel()
	settle, settled := context.WithTimeout(ctx, min(over, drainSettle))
	p.edge.Drain(settle)
	settled()
	p.health.Drain() // not before: after a takeover, peers are welcome at this address all the time

	var reporting sync.WaitGroup
	defer reporting.Wait()
	defer cancel()
	reporting.Go(func() { p.reportDrain(ctx) })
	began := time.Now()
	if err := p.relay.Drain(ctx, over); err != nil {
		p.log.Warn("peers are left that will be cut off", "conns", p.edge.Conns(), "reason", err)
		return
	}
	p.log.Info("all peers have left", "took", time.Since(began).String())
}

// reportDrain logs how many are left, once a second while that changes.
func (p *relayProcess) reportDrain(ctx context.Context) {
	tick := time.NewTicker(drainReport)
	defer tick.Stop()
	for last := -1; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if left := p.edge.Conns(); left != last {
			p.log.Info("draining", "conns", left)
			last = left
		}
	}
}
