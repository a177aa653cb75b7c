package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/notify"
)

// ErrRestart is the cause of the error that Reload returns for settings which the
// relay cannot take over.
var ErrRestart = errors.New("they cannot change while the relay runs")

// Config returns the settings that the relay runs with, complete.
func (d *Daemon) Config() config.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.config
}

// ReloadNow is Reload with the settings as Options.Load has them now.
func (d *Daemon) ReloadNow() (config.Report, error) {
	if load := d.options.Load; load != nil {
		return d.reloadFrom(load)
	}
	return d.reloadFrom(func() (config.Config, error) { return d.Config(), nil })
}

// Reload takes other settings over, and looks again at the files that they name. If
// anything is wrong with them, nothing changes at all. What makes another relay of it
// is taken over by another process, which the relay then drains for; where that cannot
// be, the error has [ErrRestart] in it, and all else has changed.
//
// Reloads come one after the other. A relay that drains takes nothing over any more.
func (d *Daemon) Reload(next config.Config) (config.Report, error) {
	return d.reloadFrom(func() (config.Config, error) { return next, nil })
}

func (d *Daemon) reloadFrom(load func() (config.Config, error)) (report config.Report, err error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	if err := d.ending(); err != nil {
		return report, err
	}
	d.notify(notify.Reloading)
	defer d.notify(notify.Ready)
	next, err := load()
	if err == nil {
		report, err = d.renew(next)
	}
	d.noteReload(report, err)
	return report, err
}

// ending says why it is too late for other settings; nil: it is not.
func (d *Daemon) ending() error {
	if phase := d.life.Phase(); phase.Reached(front.Draining) {
		return fmt.Errorf("the relay is %s and takes over no other settings", phase)
	}
	return nil
}

// renew changes what can change in this process, then what cannot.
func (d *Daemon) renew(given config.Config) (config.Report, error) {
	next, err := complete(given)
	if err == nil {
		err = d.checkAccess(next)
	}
	if err != nil {
		return config.Report{}, err
	}
	from := d.Config()
	now, err := complete(next.Live(from))
	if err == nil {
		err = d.checkAccess(now) // who closes the relay to others may leave out who comes in
	}
	if err != nil {
		now = from // what could change fits only to what cannot: all waits for the other process
	}
	if len(config.Diff(now, next).Restart) > 0 { // before anything changes: what waits may be wrong, too
		if err := errors.Join(wrongFor(next)...); err != nil {
			return config.Report{}, err
		}
	}
	if err := d.takeOver(from, now); err != nil {
		return config.Report{}, given.Hide(err)
	}
	return d.handOver(from, now, next)
}

// A step has one part of the relay take other settings over, and look again at its
// files. It checks and opens whatever can be wrong, and returns what has it take
// effect, which cannot fail; nil: nothing. Until that is called nothing has changed:
// another part may have found something wrong.
type step func(from, to config.Config) (apply func(), err error)

// steps are those of all parts, in the order in which they take effect.
func (d *Daemon) steps() []step {
	return []step{
		d.reloadMeshKeys, d.reloadMesh, d.reloadCertificate, d.reloadEdge, d.reloadBootstrap, d.reloadTimes, d.reloadOutboxes, d.reloadSelfCheck,
		d.reloadAccess, d.reloadBudget, d.reloadControl, d.reloadHistory, d.reloadMetrics, d.reloadFormat,
	}
}

// takeOver changes all that differs, or nothing.
func (d *Daemon) takeOver(from, to config.Config) error {
	var applies []func()
	var wrong []error
	for _, prepare := range d.steps() {
		apply, err := prepare(from, to)
		if wrong = append(wrong, err); apply != nil {
			applies = append(applies, apply)
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	for _, apply := range applies {
		apply()
	}
	d.mu.Lock()
	d.config = to
	d.mu.Unlock()
	d.logChanges(from, to)
	return nil
}

// logChanges has a line for each change, whichever of the two levels lets it through.
func (d *Daemon) logChanges(from, to config.Config) {
	d.level.Set(min(levelOf(from.Log.Level), levelOf(to.Log.Level)))
	d.logEach(slog.LevelInfo, "reload: a setting has changed", config.Diff(from, to).Changed)
	d.level.Set(levelOf(to.Log.Level))
}

func (d *Daemon) logEach(level slog.Level, message string, changes []config.Change) {
	for _, c := range changes {
		d.log.Log(context.Background(), level, message, "setting", d.spelling()(c.Setting), "old", c.Old, "new", c.New)
	}
}

// noteReload keeps what became of a reload, and logs what went wrong.
func (d *Daemon) noteReload(report config.Report, err error) {
	state := admin.Reload{At: time.Now().UTC(), Changed: report.Changed, Restart: config.Names(report.Restart)}
	switch {
	case err == nil:
		d.log.Info("reload: done", "changed", len(report.Changed))
	case len(report.Restart) > 0:
		state.Error = config.Text(err, d.spelling())
		d.logEach(slog.LevelWarn, "reload: a setting needs a restart", report.Restart)
		d.log.Error("reload: not all could be taken over", "reason", state.Error)
	default:
		state.Error = config.Text(err, d.spelling())
		d.log.Error("reload: everything stays as it is", "reason", state.Error)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reload = state
}

// lastReload returns nil if there was none.
func (d *Daemon) lastReload() *admin.Reload {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reload.At.IsZero() {
		return nil
	}
	last := d.reload
	return &last
}

// fixed are the settings that make the relay another one: another process that has
// another key cannot take over from this one.
var fixed = []string{"dev", "state-dir", "relay-key"}

// handOver has another process take over with the settings that this one, which has
// gone from some to those of now, cannot run with. It reports on both.
func (d *Daemon) handOver(from, now, next config.Config) (config.Report, error) {
	report := config.Report{Changed: config.Diff(from, now).Changed}
	waiting := config.Diff(now, next)
	if len(waiting.Restart) == 0 {
		return report, nil
	}
	report.Restart = append(waiting.Restart, waiting.Changed...)
	if err := d.ask(next, report.Restart); err != nil {
		return report, err
	}
	d.logEach(slog.LevelInfo, "reload: another process has taken a setting over", report.Restart)
	return config.Report{Changed: append(report.Changed, report.Restart...)}, nil
}

func (d *Daemon) ask(next config.Config, changed []config.Change) error {
	why := d.options.Takeover.Possible()
	for _, c := range changed {
		if slices.Contains(fixed, c.Setting) {
			why = errors.New("the relay gets another key by them")
		}
	}
	if why != nil {
		return needsRestart(changed, fmt.Errorf("%w: %w", ErrRestart, why))
	}
	text, err := next.Encode()
	if err != nil {
		return err
	}
	if err := d.options.Takeover.Ask(d.inUse, text); err != nil {
		return needsRestart(changed, fmt.Errorf("no other process could take over: %w", because(err, wrongFor(next, changed...))))
	}
	return nil
}

// because adds what is wrong to the error of a process whose own words are in the log
// only.
func because(err error, wrong []error) error {
	for _, w := range wrong {
		err = fmt.Errorf("%w: %w", err, w)
	}
	return err
}

func needsRestart(changed []config.Change, why error) error {
	text := "restart needed for "
	for i, c := range changed {
		if i > 0 {
			text += ", "
		}
		text += "{" + c.Setting + "}"
	}
	return &config.Error{What: text, Err: why, Failed: true}
}
