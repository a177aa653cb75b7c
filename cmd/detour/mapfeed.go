package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"time"

	"github.com/detour-relay/detour/derpmap"
)

// A mapFeed keeps what is served up to date with where the map comes from.
type mapFeed struct {
	read    func(context.Context) (mapText, error)
	whole   bool // what is read is never a part of a text, as it may be of a file that is just being written
	force   bool // serve also what lint finds errors in
	handler *mapHandler
	log     *slog.Logger

	// Owned by watch, once it has begun.
	seen    []byte // the text that was judged last, good or bad
	pending []byte // another that the last look has found
	failed  int    // looks in a row that could read nothing
}

// A refusal says why a map is not served. Its text is the first reason.
type refusal struct {
	name     string
	findings []derpmap.Finding // those of severity error
}

func (r *refusal) Error() string { return fmt.Sprintf("%s:%v", r.name, r.findings[0]) }

// open takes the first map.
func (f *mapFeed) open(ctx context.Context) (mapText, error) {
	source, err := f.read(ctx)
	if err != nil {
		return source, err
	}
	f.seen = source.text
	_, err = f.take(source)
	return source, err
}

// take serves the map of a text if it is fit for it, and tells whether it is another than before.
func (f *mapFeed) take(source mapText) (changed bool, err error) {
	m, err := f.judge(source)
	if err != nil {
		return false, err
	}
	if served := f.handler.current.Load(); served != nil && reflect.DeepEqual(served.m, m) {
		return false, nil
	}
	served, err := newServedMap(m)
	if err != nil {
		return false, fmt.Errorf("%s: %w", source.name, err)
	}
	f.handler.current.Store(served)
	return true, nil
}

// judge returns the map of a text if it is fit to be served. A map without regions is not: it is more likely a mistake than
// what all peers shall have.
func (f *mapFeed) judge(source mapText) (*derpmap.Map, error) {
	report := newLintReport(source, derpmap.LintConfig{Public: true}) // whether the regions are a provider's is no reason to warn here
	m, err := source.load()
	switch {
	case err == nil && len(m.IDs()) == 0 && !f.force:
		return nil, fmt.Errorf("%s: %w", source.name, derpmap.ErrNoRegions)
	case report.Errors > 0 && !f.force:
		return nil, newRefusal(report)
	case err != nil:
		return nil, err
	case report.Errors > 0:
		f.log.Warn("lint finds errors in the map, which is served all the same", "reason", newRefusal(report), "errors", report.Errors)
	case report.Warnings > 0:
		f.log.Warn("the map could be better; detour map lint says how", "file", source.name, "warnings", report.Warnings)
	}
	return m, nil
}

func newRefusal(report lintReport) *refusal {
	r := &refusal{name: report.File}
	for _, finding := range report.Findings {
		if finding.Severity == derpmap.Error {
			r.findings = append(r.findings, finding)
		}
	}
	return r
}

// watch looks for another map at every interval, if that is not 0, and at once when hangup says so, until ctx is done.
func (f *mapFeed) watch(ctx context.Context, interval time.Duration, hangup <-chan os.Signal) {
	var tick <-chan time.Time
	if interval > 0 {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			f.look(ctx)
		case <-hangup:
			notifyReloading(f.log)
			f.reload(ctx)
			notifyReady(f.log)
		}
	}
}

// failedLooks is the look in a row at which it is reported that nothing can be read. Some editors remove a file and write it
// anew.
const failedLooks = 2

// look takes a text that is another than before, once two looks have found it unless it is whole.
func (f *mapFeed) look(ctx context.Context) {
	source, err := f.read(ctx)
	if err != nil {
		if f.failed++; f.failed == failedLooks && ctx.Err() == nil {
			f.log.Error("the map cannot be read; the old one stays", "reason", err)
		}
		return
	}
	f.failed = 0
	switch {
	case bytes.Equal(source.text, f.seen):
		f.pending = nil
	case f.whole || bytes.Equal(source.text, f.pending):
		f.settle(source)
	default:
		f.pending = source.text
	}
}

// reload takes what there is, and says also if it is what it was: somebody waits for the answer.
func (f *mapFeed) reload(ctx context.Context) {
	source, err := f.read(ctx)
	if err != nil {
		f.log.Error("the map cannot be read; the old one stays", "reason", err)
		return
	}
	f.settle(source)
}

// settle takes a text, or says what is wrong with it.
func (f *mapFeed) settle(source mapText) {
	f.seen, f.pending = source.text, nil
	changed, err := f.take(source)
	switch {
	case err != nil:
		f.log.Error("the new map is not served; the old one stays", "reason", err)
	case changed:
		served := f.handler.current.Load()
		f.log.Info("there is a new map", "file", source.name, "regions", len(served.m.IDs()), "nodes", nodesOf(served.m))
	default:
		f.log.Info("the map is as it was", "file", source.name)
	}
}

func nodesOf(m *derpmap.Map) (n int) {
	for _, id := range m.IDs() {
		n += len(m.Regions[id].Nodes)
	}
	return n
}
