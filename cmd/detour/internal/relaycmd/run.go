package relaycmd

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/acme"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/metrics"
	"github.com/detour-relay/detour/internal/takeover"
	"github.com/detour-relay/detour/internal/trim"
)

// runRelay runs a relay with the settings that the flags and what else there is give,
// until ctx is done or another process has taken over.
func runRelay(ctx context.Context, flags *settingFlags, stdout, stderr io.Writer) error {
	handover, err := takeover.New()
	if err != nil {
		return err
	}
	s := &source{flags: flags}
	l := flags.load()
	s.current.Store(l)
	if err := unusable(l); err != nil {
		return err
	}
	return spelt(l, s.run(ctx, handover, stdout, stderr))
}

func (s *source) run(ctx context.Context, handover *takeover.Takeover, stdout, stderr io.Writer) error {
	l := s.current.Load()
	c, err := daemon.Complete(l.Config, handover)
	if err != nil {
		return err
	}
	log, format, err := cli.NewSwitchLogger(stderr, c.Log.Format) // the relay knows the level, which can change, too
	if err != nil {
		return err
	}
	trim.SetGCPercent()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from before anybody is told that we are ready
	defer signal.Stop(hangup)
	d, err := daemon.Open(c, daemon.Options{
		Logger: log, Takeover: handover, Version: cli.ReadVersion().Version, Service: true, Spell: s.spell, Load: s.load, Format: format, Issue: acme.FromSettings, Metrics: metrics.NewHandler,
	})
	if err != nil {
		return err
	}
	if !handover.TakesOver() { // nobody may be reading any more where the first process wrote
		if _, err := io.WriteString(stdout, banner(l.File, c, d.State())); err != nil {
			return errors.Join(err, d.Stop())
		}
	}
	defer context.AfterFunc(ctx, func() { log.Info("a second signal ends the relay at once") })()
	defer reloadOn(hangup, d)()
	return d.Run(ctx)
}

// reloadOn reloads the relay whenever the channel says so, until stop is called.
func reloadOn(hangup <-chan os.Signal, d *daemon.Daemon) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-hangup:
				d.ReloadNow() // which logs what became of it
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}
