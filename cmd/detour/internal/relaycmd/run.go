package relaycmd

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/takeover"
)

// runRelay runs a relay with what load returns, until ctx is done or another process
// has taken over.
func runRelay(ctx context.Context, load func() *config.Loaded, stdout, stderr io.Writer) error {
	handover, err := takeover.New()
	if err != nil {
		return err
	}
	l := load()
	if err := l.Usable(); err != nil {
		return cli.Usagef("%w", err)
	}
	again := func() (config.Config, error) {
		l := load()
		return l.Config, l.Usable()
	}
	return spelt(l, run(ctx, l, again, handover, stdout, stderr))
}

func run(ctx context.Context, l *config.Loaded, again func() (config.Config, error), handover *takeover.Takeover, stdout, stderr io.Writer) error {
	c, err := daemon.Complete(l.Config, handover)
	if err != nil {
		return err
	}
	log, err := cli.NewLogger(stderr, c.Log.Format, "debug") // the relay knows the level, which can change
	if err != nil {
		return err
	}
	daemon.SetGCPercent()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from before anybody is told that we are ready
	defer signal.Stop(hangup)
	d, err := daemon.Open(c, daemon.Options{
		Logger: log, Takeover: handover, Version: cli.ReadVersion().Version, Service: true, Spell: l.Spell, Load: again,
	})
	if err != nil {
		return err
	}
	if !handover.TakesOver() { // nobody may be reading any more where the first process wrote
		if _, err := io.WriteString(stdout, banner(c, d.State())); err != nil {
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
