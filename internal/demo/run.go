package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/mapfeed"
)

const (
	// linkTimeout bounds the wait for the links. Usually it is some 0.1 s.
	linkTimeout = 15 * time.Second
	linkLook    = 10 * time.Millisecond
)

// Run serves until ctx is done or a part has failed, and removes what is temporary.
// It calls ready once all relays are linked. At the end all relays drain before any
// stops, so that none takes the end of another for a failure.
func (d *Demo) Run(ctx context.Context, ready func() error) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var running sync.WaitGroup
	d.start(ctx, end, &running)
	d.awaitCoordinator(ctx)
	err := d.awaitLinks(ctx)
	if err == nil && ctx.Err() == nil {
		err = ready()
	}
	if err != nil {
		end(err)
	}
	<-ctx.Done()
	d.log.Info("stopping", "drain", drain.String())
	stopping := d.stopCoordinator()
	d.each(func(r *relay) error { return r.daemon.Drain(context.WithoutCancel(ctx)) }) // who is left is cut off
	err = errors.Join(failure(ctx), stopping, d.each(func(r *relay) error { return r.daemon.Stop() }))
	running.Wait()
	return errors.Join(err, d.state.close())
}

// start begins all parts. One that ends before ctx is done has failed, and the
// others end, too.
func (d *Demo) start(ctx context.Context, end context.CancelCauseFunc, running *sync.WaitGroup) {
	part := func(name string, run func() error) {
		running.Go(func() {
			err := run()
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				err = errors.New("it does not say why")
			}
			d.log.Error("a part of the demo has ended unasked; all of it ends", "part", name, "reason", err)
			end(fmt.Errorf("%s has ended unasked: %w", name, err))
		})
	}
	part("map server", func() error {
		return mapfeed.Serve(ctx, mapfeed.ServerConfig{Listener: d.maps, Handler: d.handler, Logger: d.log, Timeout: drain})
	})
	part("coordinator", func() error { return d.runCoordinator(ctx) })
	for _, r := range d.relays() {
		part("relay "+r.name, func() error { return r.daemon.Run(context.WithoutCancel(ctx)) })
	}
}

// failure is why a demo ends; nil: it was asked to.
func failure(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// each does the same with all relays at once.
func (d *Demo) each(do func(*relay) error) error {
	relays := d.relays()
	errs := make([]error, len(relays))
	var all sync.WaitGroup
	for i, r := range relays {
		all.Go(func() { errs[i] = do(r) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// awaitLinks returns nil when all relays are linked, or ctx is done.
func (d *Demo) awaitLinks(ctx context.Context) error {
	tick := time.NewTicker(linkLook)
	defer tick.Stop()
	giveUp := time.Now().Add(linkTimeout)
	for _, r := range d.relays() {
		for sibling, some := r.unlinked(); some; sibling, some = r.unlinked() {
			if time.Now().After(giveUp) {
				return fmt.Errorf("relay %s is not linked to %s after %v: %s", r.name, sibling.Name, linkTimeout, sibling.LastError)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}
