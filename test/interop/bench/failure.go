package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"syscall"
	"time"
)

const (
	regionSize    = 3
	regionPairs   = 2 * regionSize * regionSize
	restartRate   = 200e6 // bits per second of payload, all pairs together
	restartDrain  = 4 * time.Second
	restartSettle = time.Second     // of traffic before and after each restart
	restartLate   = 5 * time.Second // for the last packets, when all is over
	killRate      = 1000.0          // packets per second of each pair
	kills         = 21              // each relay the same number of times
	killSettle    = 200 * time.Millisecond
	killWatch     = 1500 * time.Millisecond // after each kill
)

// restarts is what became of the packets of all pairs while each relay of a region was restarted as planned.
type restarts struct {
	Sent    int64     `json:"sent"`
	Lost    int64     `json:"lost"` // those that the client did not take included
	Refused int64     `json:"refused"`
	Twice   int64     `json:"twice"`
	Took    []float64 `json:"took_s"` // from SIGTERM until the relay was gone
}

// outages are the longest times without traffic, one for each kill and each pair that had an end at the killed relay.
type outages struct {
	GapsMS []float64 `json:"gaps_ms"` // ascending
}

func failureRows() []row {
	return []row{{
		name: "restart-loss", text: "packets lost while each of 3 relays is restarted as planned, our clients, 200 Mbit/s",
		mark: mark{limit: 0}, needs: []string{restarting},
		figures: func(r *results) (*float64, *float64) {
			if r.Restarts == nil {
				return nil, nil
			}
			lost := float64(r.Restarts.Lost)
			return &lost, nil
		},
	}, {
		name: "kill-gap", text: "time without traffic after kill -9 of one of 3 relays, our clients, p99", unit: "ms",
		mark: mark{limit: 1000}, needs: []string{killing},
		figures: func(r *results) (*float64, *float64) {
			if r.Kills == nil {
				return nil, nil
			}
			return quantile(r.Kills.GapsMS, 0.99), nil
		},
	}}
}

// quantile is the smallest of the ascending values that at least this share of them does not exceed.
func quantile(ascending []float64, share float64) *float64 {
	if len(ascending) == 0 {
		return nil
	}
	i := int(math.Ceil(share*float64(len(ascending)))) - 1
	return &ascending[max(i, 0)]
}

// restart restarts each relay of a region in turn, under load.
func (s *stage) restart(ctx context.Context) (*restarts, error) {
	relays, err := s.startRegion(ctx, ours, regionSize, "--drain", restartDrain.String())
	if err != nil {
		return nil, err
	}
	defer func() { stopAll(relays) }()
	if err := s.awaitLinks(ctx, relays); err != nil {
		return nil, err
	}
	load, err := startTraffic(ctx, trafficConfig{
		urls: urlsOf(relays), homes: everyWay(regionPairs, regionSize), perS: restartRate / 8 / trafficSize / regionPairs,
	})
	if err != nil {
		return nil, err
	}
	defer load.end()
	found := new(restarts)
	for i := range relays {
		time.Sleep(restartSettle)
		began := time.Now()
		if err := relays[i].cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return nil, err
		}
		if err := relays[i].awaitEnd(ctx, restartDrain+startBudget); err != nil {
			return nil, err
		}
		found.Took = append(found.Took, time.Since(began).Seconds())
		if relays[i], err = relays[i].again(ctx); err != nil {
			return nil, err
		}
		if err := s.awaitLinks(ctx, relays); err != nil {
			return nil, err
		}
	}
	time.Sleep(restartSettle)
	load.stop(restartLate)
	for _, p := range load.pairs {
		p.mu.Lock()
		found.Sent += p.sent.Load()
		found.Refused += p.refused.Load()
		found.Twice += p.twice
		err = errors.Join(err, p.broken)
		p.mu.Unlock()
	}
	found.Lost = load.lost()
	talk("  %d packets sent, %d lost (%d not taken by the client), %d came twice\n", found.Sent, found.Lost, found.Refused, found.Twice)
	return found, err
}

// kill kills one relay of a region after the other, each time with new clients, so that there are some at every relay.
func (s *stage) kill(ctx context.Context) (*outages, error) {
	relays, err := s.startRegion(ctx, ours, regionSize)
	if err != nil {
		return nil, err
	}
	defer func() { stopAll(relays) }()
	found := new(outages)
	for n := range kills {
		if err := s.awaitLinks(ctx, relays); err != nil {
			return nil, err
		}
		victim := n % regionSize
		gaps, err := killOne(ctx, relays, victim)
		if err != nil {
			return nil, err
		}
		found.GapsMS = append(found.GapsMS, gaps...)
		if relays[victim], err = relays[victim].again(ctx); err != nil {
			return nil, err
		}
	}
	slices.Sort(found.GapsMS)
	talk("  %d kills, the longest gap of each pair: p50 %.0f ms, p99 %.0f ms, max %.0f ms\n", kills,
		*quantile(found.GapsMS, 0.5), *quantile(found.GapsMS, 0.99), *quantile(found.GapsMS, 1))
	return found, nil
}

// killOne kills a relay and returns the longest gap, in milliseconds, of each pair that had an end there.
func killOne(ctx context.Context, relays []*relay, victim int) (gaps []float64, err error) {
	load, err := startTraffic(ctx, trafficConfig{urls: urlsOf(relays), homes: everyWay(regionPairs, regionSize), perS: killRate})
	if err != nil {
		return nil, err
	}
	defer load.end()
	time.Sleep(killSettle)
	load.forgetGaps()
	relays[victim].kill()
	time.Sleep(killWatch)
	gaps = load.gapsMS(func(p *pair) bool { return p.homes[0] == victim || p.homes[1] == victim })
	load.stop(0)
	return gaps, ctx.Err()
}

// awaitLinks waits until packets cross between all relays.
func (s *stage) awaitLinks(ctx context.Context, relays []*relay) error {
	for i, near := range relays {
		for _, far := range relays[:i] {
			if err := s.awaitLink(ctx, near, far); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitEnd waits until the relay has ended by itself.
func (r *relay) awaitEnd(ctx context.Context, patience time.Duration) error {
	select {
	case <-r.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(patience):
		return fmt.Errorf("%s did not end within %v", r.url, patience)
	}
}

// kill ends the relay without warning.
func (r *relay) kill() {
	r.cmd.Process.Kill()
	<-r.ended
}
