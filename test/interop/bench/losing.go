package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

const (
	losingPairs  = 6
	losingBack   = 100.0 // packets per second that receivers send: only who sends looks soon whether a relay is silent
	losingRounds = 20
	losingSettle = 200 * time.Millisecond // of traffic before the relay is lost, and after it
	losingTail   = 300 * time.Millisecond // for what was under way when it was lost
	losingLate   = 10 * time.Second       // for traffic over the other relay
)

// losing is a way to lose the first relay of a region of two, which all clients prefer, and to get it back.
type losing struct {
	name   string
	urls   []string // of the relays, as clients reach them
	lose   func() error
	regain func(context.Context) error
}

// The ways.
const (
	losingStopped   = "stopped"   // it gets SIGSTOP
	losingSwallowed = "swallowed" // what goes to and from it vanishes
	losingKilled    = "killed"    // it gets SIGKILL
)

// losses are the gaps in the traffic, by way.
type losses map[string]*outages

func losingRows() []row {
	const text = "time from %s, while packets are being sent, to traffic over the second, our clients, %s of %d times %d pairs"
	says := func(what, share string) string { return fmt.Sprintf(text, what, share, losingRounds, losingPairs) }
	return []row{
		losingRow("silent-p50", says("a region's first node going silent", "p50"), mark{none: true}, losingStopped, 0.5),
		losingRow("silent-p99", says("a region's first node going silent", "p99"), mark{limit: 3000}, losingStopped, 0.99),
		losingRow("swallowed-p99", says("the way to a region's first node swallowing everything", "p99"), mark{limit: 3000}, losingSwallowed, 0.99),
		losingRow("closed-p99", says("a region's first node closing its sockets", "p99"), mark{limit: 500}, losingKilled, 0.99),
	}
}

func losingRow(name, text string, m mark, way string, share float64) row {
	return row{
		name: name, text: text, unit: "ms", mark: m, needs: []string{losingFirst},
		figures: func(r *results) (*float64, *float64) {
			if r.Losses[way] == nil {
				return nil, nil
			}
			return quantile(r.Losses[way].GapsMS, share), nil
		},
	}
}

func (s *stage) losses(ctx context.Context) (losses, error) { return s.loseFirst(ctx, losingRounds) }

// loseFirst loses the first relay of a region, so many times in each way, each time with new clients.
func (s *stage) loseFirst(ctx context.Context, rounds int) (losses, error) {
	relays, err := s.startRegion(ctx, ours, 2)
	if err != nil {
		return nil, err
	}
	defer func() { stopAll(relays) }()
	hole, err := startHole(relays[0].addr)
	if err != nil {
		return nil, err
	}
	defer hole.stop()
	all := losses{}
	for _, way := range waysToLose(relays, hole) {
		if all[way.name], err = s.repeat(ctx, relays, way, rounds); err != nil {
			return nil, fmt.Errorf("%s: %w", way.name, err)
		}
	}
	return all, nil
}

// repeat loses the relay so many times, and begins each time when the region is whole.
func (s *stage) repeat(ctx context.Context, relays []*relay, way losing, rounds int) (*outages, error) {
	found := new(outages)
	for range rounds {
		if err := s.awaitLinks(ctx, relays); err != nil {
			return nil, err
		}
		gaps, err := way.once(ctx)
		if err != nil {
			return nil, err
		}
		found.GapsMS = append(found.GapsMS, gaps...)
	}
	slices.Sort(found.GapsMS)
	talk("  %-9s %d times %d pairs: p50 %.0f ms, p99 %.0f ms, max %.0f ms\n", way.name, rounds, losingPairs,
		*quantile(found.GapsMS, 0.5), *quantile(found.GapsMS, 0.99), *quantile(found.GapsMS, 1))
	return found, nil
}

// waysToLose are those for a region of two, whose first relay is killed last. It is another process afterwards.
func waysToLose(relays []*relay, hole *hole) []losing {
	direct := urlsOf(relays)
	signal := func(s syscall.Signal) error { return relays[0].cmd.Process.Signal(s) }
	return []losing{{
		name: losingStopped, urls: direct,
		lose:   func() error { return signal(syscall.SIGSTOP) },
		regain: func(context.Context) error { return signal(syscall.SIGCONT) },
	}, {
		name: losingSwallowed, urls: []string{hole.url(), direct[1]},
		lose: hole.swallow, regain: hole.spit,
	}, {
		name: losingKilled, urls: direct,
		lose: func() error { relays[0].kill(); return nil },
		regain: func(ctx context.Context) (err error) {
			relays[0], err = relays[0].again(ctx)
			return err
		},
	}}
}

// once loses the relay and returns how long each pair was without traffic, in milliseconds.
func (l losing) once(ctx context.Context) (gaps []float64, err error) {
	load, err := startTraffic(ctx, trafficConfig{urls: l.urls, homes: make([][2]int, losingPairs), perS: killRate, backPerS: losingBack})
	if err != nil {
		return nil, err
	}
	defer load.end()
	time.Sleep(losingSettle)
	load.forgetGaps()
	if err := l.lose(); err != nil {
		return nil, err
	}
	load.awaitArrivals(losingTail, losingLate)
	time.Sleep(losingSettle)
	gaps = load.gapsMS(func(*pair) bool { return true })
	moved := load.checkMoved()
	load.stop(0)
	if err := l.regain(ctx); err != nil {
		return nil, err
	}
	return gaps, errors.Join(moved, ctx.Err())
}
