package probe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNoNetwork: none of the relays has an address that this machine has a way to,
// and it has none to anywhere else.
var ErrNoNetwork = errors.New("this machine has no network")

// ErrUnfinished: the context ended before all checks were made. Those that were not
// are skipped.
var ErrUnfinished = errors.New("not all checks were made")

// run is one call of Run.
type run struct {
	cfg     Config
	regions []*region
	cut     atomic.Bool // a check was not made, or was cut short, because the context had ended
}

// Run checks, and returns what it found. With ErrUnfinished and ErrNoNetwork there
// is a report, too; any other error is about the configuration, a *NoneError among
// them.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	regions, err := regionsOf(cfg)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	r := &run{cfg: cfg, regions: regions}
	started := time.Now()
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { r.start(ctx) })
	report := &Report{Map: mapChecks(cfg)}
	cfg.OnMap(report.Map)
	report.Regions = r.collect()
	report.Took = time.Since(started)
	report.sumUp()
	switch {
	case r.cut.Load():
		return report, fmt.Errorf("%w: %w", ErrUnfinished, context.Cause(ctx))
	case r.offline():
		return report, ErrNoNetwork
	}
	return report, nil
}

// start checks all nodes, some at a time and in order, and each region as soon as
// its nodes are done.
func (r *run) start(ctx context.Context) {
	var work sync.WaitGroup
	free := make(chan struct{}, r.cfg.Parallel)
	for _, region := range r.regions {
		for _, n := range region.nodes {
			n.run = r
			free <- struct{}{}
			work.Go(func() {
				n.check(ctx)
				close(n.done)
				<-free
			})
		}
		work.Go(func() {
			for _, n := range region.nodes {
				<-n.done
			}
			region.check(ctx, r)
			close(region.done)
		})
	}
	work.Wait()
}

// collect waits for the results in the order of the map.
func (r *run) collect() (regions []*Region) {
	for _, region := range r.regions {
		for _, n := range region.nodes {
			<-n.done
			found := n.report()
			region.report.Nodes = append(region.report.Nodes, found)
			r.cfg.OnNode(region.report, found)
		}
		<-region.done
		region.report.Checks = region.checks
		r.cfg.OnRegion(region.report)
		regions = append(regions, region.report)
	}
	return regions
}

// ask makes one check within its time, or so much longer. What fails because the
// time of the whole run is over says nothing about the relay.
func (r *run) ask(ctx context.Context, name string, question func(context.Context) Check, longer time.Duration) Check {
	started := time.Now()
	c := skip("the time was over")
	if ctx.Err() == nil {
		timeout := r.cfg.Timeout + longer
		within, cancel := context.WithTimeoutCause(ctx, timeout, slowError(timeout))
		c = question(within)
		cancel()
		if ctx.Err() != nil && c.Status == Fail {
			c = skip("the time was over before there was an answer")
		}
	}
	if ctx.Err() != nil && c.Status == Skip {
		r.cut.Store(true)
	}
	c.Name, c.Took = name, time.Since(started)
	return c
}

// slowError says that a check took longer than this.
type slowError time.Duration

func (e slowError) Error() string        { return fmt.Sprintf("nothing within %v", time.Duration(e)) }
func (e slowError) Is(target error) bool { return target == context.DeadlineExceeded }

// offline reports whether it is this machine that lacks a network.
func (r *run) offline() bool {
	for _, region := range r.regions {
		for _, n := range region.nodes {
			if n.hasRoute() || n.proxy != nil {
				return false
			}
		}
	}
	return !online()
}
