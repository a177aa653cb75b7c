package daemon

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/config"
)

// One thing that is wrong, and everything stays as it is.
func TestReloadIsAllOrNothing(t *testing.T) {
	var log lines
	d := open(t, plain(), Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Spell: func(s string) string { return "--" + s }})
	before := d.Config()
	for want, change := range map[string]func(*config.Config){
		"no such file": func(c *config.Config) { c.Mesh.KeyFile = filepath.Join(t.TempDir(), "nowhere") },
		"--drain -1ns": func(c *config.Config) { c.Drain = -1 },
	} {
		next := before
		next.Log.Level, next.Drain = "debug", 7
		change(&next)
		report, err := d.Reload(next)
		if err == nil || report.Changed != nil || report.Restart != nil || errors.Is(err, ErrRestart) {
			t.Errorf("%+v, %v", report, err)
		}
		if now := d.Config(); len(config.Diff(before, now).Changed) > 0 || d.log.Enabled(t.Context(), slog.LevelDebug) {
			t.Errorf("something changed: %+v", config.Diff(before, now))
		}
		if got := d.State().Reload; got == nil || !strings.Contains(got.Error, want) || got.Changed != nil {
			t.Errorf("%+v, want %s", got, want)
		}
		if text := log.String(); !strings.Contains(text, `level=ERROR msg="reload: everything stays as it is" reason=`) || !strings.Contains(text, want) {
			t.Errorf("the log has no %s: %s", want, text)
		}
	}
}

// Each change is a line, whichever of the two levels would not let it through.
func TestReloadLogsWhatChanges(t *testing.T) {
	var log lines
	d := open(t, plain(), Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Spell: func(s string) string { return "--" + s }})
	for _, level := range []string{"error", "info"} {
		next := d.Config()
		next.Log.Level = level
		next.Drain += 1e9
		if _, err := d.Reload(next); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		`setting=--drain old=0s new=1s`, `setting=--drain old=1s new=2s`, `setting=--log.level old=info new=error`, `setting=--log.level old=error new=info`,
	} {
		if !strings.Contains(log.String(), `level=INFO msg="reload: a setting has changed" `+want) {
			t.Errorf("no line has %s:\n%s", want, log.String())
		}
	}
}

func TestReloadNowAsksForTheSettings(t *testing.T) {
	next, wrong := plain(), error(nil)
	d := open(t, plain(), Options{Load: func() (config.Config, error) { return next, wrong }})
	next.Drain = 7
	if report, err := d.ReloadNow(); err != nil || len(report.Changed) != 1 || d.Config().Drain != 7 {
		t.Errorf("%+v, %v", report, err)
	}
	next.Drain, wrong = 8, errors.New("relay.yaml:3:1: what is this")
	if report, err := d.ReloadNow(); !errors.Is(err, wrong) || report.Changed != nil || d.Config().Drain != 7 || d.State().Reload.Error != wrong.Error() {
		t.Errorf("%+v, %v", report, err)
	}
	alone := open(t, plain(), Options{})
	if report, err := alone.ReloadNow(); err != nil || report.Changed != nil {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestReloadComesTooLate(t *testing.T) {
	d := open(t, plain(), Options{})
	end := run(t, d)
	if err := d.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, phase := range []string{"draining", "stopped"} {
		next := d.Config()
		next.Drain++
		if report, err := d.Reload(next); err == nil || !strings.Contains(err.Error(), phase) || report.Changed != nil || d.State().Reload != nil {
			t.Errorf("%s: %+v, %v", phase, report, err)
		}
		end()
	}
}

// What fits only to a setting that needs another process waits with it.
func TestReloadThatBelongsTogetherWaits(t *testing.T) {
	public := plain()
	public.Listen, public.Access.Everyone = "0.0.0.0:0", true
	for name, test := range map[string]struct {
		from   config.Config
		change func(*config.Config)
		wait   int // settings
	}{
		"a name for TLS": {plain(), func(c *config.Config) {
			c.Dev, c.StateDir, c.Hostname, c.TLS.Mode = false, t.TempDir(), "relay.example", config.TLSSelf
		}, 5},
		"nobody else gets there, so nobody needs access": {public, func(c *config.Config) {
			c.Listen, c.Access = "127.0.0.1:0", config.Defaults().Access
		}, 3},
	} {
		d := open(t, test.from, Options{})
		next := d.Config()
		next.Drain = 5
		test.change(&next)
		report, err := d.Reload(next)
		if !errors.Is(err, ErrRestart) || report.Changed != nil || len(report.Restart) != test.wait {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
		if now := d.Config(); now.Drain == 5 || !now.Dev || now.Access.Everyone != test.from.Access.Everyone {
			t.Errorf("%s: %+v", name, now)
		}
	}
}

// What waits for another process is looked at before anything changes here: a restart
// would fail at it.
func TestReloadLooksAtWhatWaits(t *testing.T) {
	d := open(t, plain(), Options{})
	next := d.Config()
	next.Drain, next.Dev, next.StateDir, next.TLS.Mode = 5, false, t.TempDir(), config.TLSOff
	next.RelayKey = filepath.Join(t.TempDir(), "relay.key")
	if err := os.WriteFile(next.RelayKey, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := d.Reload(next)
	if err == nil || errors.Is(err, ErrRestart) || report.Changed != nil || report.Restart != nil || !strings.Contains(err.Error(), "key file "+next.RelayKey) {
		t.Errorf("%+v, %v", report, err)
	}
	if now := d.Config(); now.Drain == 5 || !now.Dev {
		t.Errorf("%+v", now)
	}
}
