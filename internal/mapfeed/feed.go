package mapfeed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derpmap"
)

// FeedConfig says what a feed reads and for whom. Read and Handler are required.
type FeedConfig struct {
	Read  func(context.Context) (Text, error)
	Whole bool // what is read is never a part of a text
	Force bool // serve also what lint finds errors in

	Handler *Handler
	Logger  *slog.Logger // nil: none

	Interval time.Duration    // from one look to the next; 0: only when Hangup says so
	Hangup   <-chan os.Signal // to look at once; nil: never

	// Reloading and Ready are called before and after each look that Hangup wants;
	// nil: nobody wants to know.
	Reloading, Ready func()

	// Served is called when another map is served, the first one too; nil: as above.
	Served func()
}

// A Feed keeps what is served up to date with where the map comes from.
type Feed struct {
	cfg FeedConfig
	log *slog.Logger

	// Owned by Watch, once it has begun.
	seen    []byte // the text that was judged last, good or bad
	pending []byte // another that the last look has found
	failed  int    // looks in a row that could read nothing
	judged  error  // why the last text is not served

	problem atomic.Pointer[error] // why what there is now is not served
}

// A Refusal says why a map is not served. Its text is the first reason.
type Refusal struct {
	Name     string
	Findings []derpmap.Finding // those of severity error
	Forcible bool              // it could be served all the same
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s:%v", r.Name, r.Findings[0]) }

// NewFeed returns a feed that has no map yet.
func NewFeed(cfg FeedConfig) (*Feed, error) {
	if cfg.Read == nil || cfg.Handler == nil {
		return nil, errors.New("mapfeed: Config.Read and Handler are required")
	}
	if cfg.Interval < 0 {
		return nil, errors.New("mapfeed: Config.Interval must not be negative")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Feed{cfg: cfg, log: cfg.Logger}, nil
}

// Problem is why what stands where the map comes from is not served; nil: it is. It does
// not wait, and may be called from anywhere.
func (f *Feed) Problem() error {
	if err := f.problem.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *Feed) note(err error) { f.problem.Store(&err) }

// Open takes the first map.
func (f *Feed) Open(ctx context.Context) (Text, error) {
	source, err := f.cfg.Read(ctx)
	if err != nil {
		return source, err
	}
	f.seen = source.Data
	_, err = f.take(source)
	return source, err
}

// take serves the map of a text if it is fit for it, and tells whether it is another
// than before.
func (f *Feed) take(source Text) (changed bool, err error) {
	m, err := f.judge(source)
	if err != nil {
		return false, err
	}
	before := f.cfg.Handler.Map()
	if before != nil && reflect.DeepEqual(before, m) {
		return false, nil
	}
	if err := f.cfg.Handler.Serve(m); err != nil {
		return false, fmt.Errorf("%s: %w", source.Name, err)
	}
	f.vanished(source.Name, before, m)
	call(f.cfg.Served)
	return true, nil
}

// vanished says which regions are not in the map any more: peers that live there have
// to move.
func (f *Feed) vanished(name string, before, now *derpmap.Map) {
	if before == nil {
		return
	}
	var gone []int
	for _, id := range before.IDs() {
		if now.Regions[id] == nil {
			gone = append(gone, id)
		}
	}
	if len(gone) > 0 {
		f.log.Warn("regions are not in the new map any more; peers that have their home there move", "file", name, "regions", gone)
	}
}

// judge returns the map of a text if it is fit to be served. A map without regions is
// not: it is more likely a mistake than what all peers shall have.
func (f *Feed) judge(source Text) (*derpmap.Map, error) {
	// Whether the regions are a provider's is no reason to warn here.
	findings := derpmap.Lint(source.Data, derpmap.LintConfig{Form: source.Form, Public: true})
	errs := derpmap.Errors(findings)
	m, err := source.Load()
	switch {
	case err == nil && len(errs) > 0 && !f.cfg.Force: // which say more than that there are no regions
		return nil, &Refusal{source.Name, errs, len(m.IDs()) > 0}
	case err == nil && len(m.IDs()) == 0 && !f.cfg.Force:
		return nil, fmt.Errorf("%s: %w", source.Name, derpmap.ErrNoRegions)
	case err != nil && len(errs) > 0:
		return nil, &Refusal{source.Name, errs, false}
	case err != nil:
		return nil, err
	case len(errs) > 0:
		f.log.Warn("lint finds errors in the map, which is served all the same",
			"reason", (&Refusal{source.Name, errs, true}).Error(), "errors", len(errs))
	case len(findings) > 0:
		f.log.Warn("the map could be better; detour map lint says how", "file", source.Name, "warnings", len(findings))
	}
	return m, nil
}

// Watch looks for another map at every interval, and at once when a hangup says so,
// until ctx is done.
func (f *Feed) Watch(ctx context.Context) {
	var tick <-chan time.Time
	if f.cfg.Interval > 0 {
		ticker := time.NewTicker(f.cfg.Interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			f.look(ctx)
		case <-f.cfg.Hangup:
			call(f.cfg.Reloading)
			f.reload(ctx)
			call(f.cfg.Ready)
		}
	}
}

func call(hook func()) {
	if hook != nil {
		hook()
	}
}

// failedLooks is the look in a row at which it is reported that nothing can be read.
// Some editors remove a file and write it anew.
const failedLooks = 2

// look takes a text that is another than before, once two looks have found it unless
// it is whole.
func (f *Feed) look(ctx context.Context) {
	source, err := f.cfg.Read(ctx)
	if err != nil {
		if f.failed++; f.failed == failedLooks && ctx.Err() == nil {
			f.log.Error("the map cannot be read; the old one stays", "reason", err)
			f.note(err)
		}
		return
	}
	f.failed = 0
	f.note(f.judged)
	switch {
	case bytes.Equal(source.Data, f.seen):
		f.pending = nil
	case f.cfg.Whole || bytes.Equal(source.Data, f.pending):
		f.accept(source)
	default:
		f.pending = source.Data
	}
}

// reload takes what there is, and says also if it is what it was: somebody waits for
// the answer.
func (f *Feed) reload(ctx context.Context) {
	source, err := f.cfg.Read(ctx)
	if err != nil {
		f.log.Error("the map cannot be read; the old one stays", "reason", err)
		f.note(err)
		return
	}
	f.accept(source)
}

// accept takes a text, or says what is wrong with it.
func (f *Feed) accept(source Text) {
	f.seen, f.pending = source.Data, nil
	changed, err := f.take(source)
	f.judged = err
	f.note(err)
	switch {
	case err != nil:
		f.log.Error("the new map is not served; the old one stays", "reason", err)
	case changed:
		m := f.cfg.Handler.Map()
		f.log.Info("there is a new map", "file", source.Name, "regions", len(m.IDs()), "nodes", m.NodeCount())
	default:
		f.log.Info("the map is as it was", "file", source.Name)
	}
}
