package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/mapfeed"
)

const (
	// demoPatience bounds the wait for the links. Usually it is some 0.1 s.
	demoPatience = 15 * time.Second
	demoLook     = 10 * time.Millisecond
)

// A demoPart is something that runs until its context is done.
type demoPart struct {
	name string
	run  func(context.Context) error
}

// run serves until ctx is done or a part has failed. It announces the demo once
// all relays are linked.
func (d *demo) run(ctx context.Context, announce func() error) error {
	parts := []demoPart{{"map server", func(ctx context.Context) error {
		return mapfeed.Serve(ctx, d.maps)
	}}}
	var together sync.WaitGroup
	for _, r := range d.relays() {
		together.Add(1)
		r.process.together = &together
		parts = append(parts, demoPart{"relay " + r.name, func(ctx context.Context) error {
			r.process.logStart(r.flags)
			return r.process.serve(ctx, r.flags.drain)
		}})
	}
	parts = append(parts, demoPart{"start", func(ctx context.Context) error {
		err := d.awaitLinks(ctx)
		if err == nil && ctx.Err() == nil {
			err = announce()
		}
		if err != nil {
			return err
		}
		<-ctx.Done()
		d.log.Info("stopping", "drain", demoDrain.String())
		return nil
	}})
	return runParts(ctx, d.log, parts)
}

// runParts runs all parts until ctx is done. One that ends before has failed, and
// the others end, too.
func runParts(ctx context.Context, log *slog.Logger, parts []demoPart) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var running sync.WaitGroup
	errs := make([]error, len(parts))
	for i, part := range parts {
		running.Go(func() {
			err := part.run(ctx)
			if ctx.Err() == nil {
				err = orUnknown(err)
				log.Error("a part of the demo has ended unasked; all of it ends", "part", part.name, "reason", err)
				err = fmt.Errorf("%s has ended unasked: %w", part.name, err)
				end()
			}
			errs[i] = err
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

func orUnknown(err error) error {
	if err == nil {
		return errors.New("it does not say why")
	}
	return err
}

// awaitLinks returns nil when all relays are linked, or ctx is done.
func (d *demo) awaitLinks(ctx context.Context) error {
	tick := time.NewTicker(demoLook)
	defer tick.Stop()
	giveUp := time.Now().Add(demoPatience)
	for _, r := range d.relays() {
		for sibling, some := r.unlinked(); some; sibling, some = r.unlinked() {
			if time.Now().After(giveUp) {
				return fmt.Errorf("relay %s is not linked to %s after %v: %s", r.name, sibling.Name, demoPatience, sibling.LastError)
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
