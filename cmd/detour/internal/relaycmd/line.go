package relaycmd

import (
	"context"
	"io"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
)

// A Line is another command line than that of "detour relay". It knows no file of
// settings; the environment counts where it says nothing.
type Line struct {
	// Settings are what it means. They are asked for again by each reload, since files that
	// it names may have changed. The problem is why it cannot be used; nil: it can.
	Settings func() ([]config.Given, *config.Problem)

	// Names are what it calls settings, without dashes.
	Names map[string]string
}

// Run runs a relay with what the line means.
func (l *Line) Run(ctx context.Context, stdout, stderr io.Writer) error {
	return runRelay(ctx, &settingFlags{line: l}, stdout, stderr)
}

// Check returns what is wrong with what the line means, without looking at the machine.
func (l *Line) Check() error {
	loaded := (&settingFlags{line: l}).load()
	if err := unusable(loaded); err != nil {
		return err
	}
	cfg, err := daemon.Complete(loaded.Config, nil)
	if err == nil {
		err = daemon.CheckAccess(cfg)
	}
	return spelt(loaded, err)
}
