package relaycmd

import (
	"context"
	"errors"
	"io"
	"log/slog"
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
	return spelt(l, run(ctx, l, handover, stdout, stderr))
}

func run(ctx context.Context, l *config.Loaded, handover *takeover.Takeover, stdout, stderr io.Writer) error {
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
		Logger: log, Takeover: handover, Version: cli.ReadVersion().Version, Service: true, Spell: l.Spell,
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
	defer reloadOn(hangup, d, l.Spell, log)()
	return d.Run(ctx)
}

// reloadOn reloads the relay whenever the channel says so, until stop is called. Its
// settings are those of the command line, but what the files hold may be new.
func reloadOn(hangup <-chan os.Signal, d *daemon.Daemon, spell func(string) string, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-hangup:
				if err := d.Reload(d.Config()); err != nil {
					log.Error("reload: not everything could be taken over", "reason", config.Text(err, spell))
				}
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
