package relaycmd

import (
	"errors"
	"fmt"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/config"
)

// FlagName says how the command line calls a setting.
func FlagName(path string) string { return (&config.Loaded{}).Spell(path) }

// Spelt gives an error the names of flags for the settings in it. Settings that mean
// nothing are wrong usage.
func Spelt(err error) error { return spelt(&config.Loaded{}, err) }

// spelt gives an error the names that whoever gave the settings has for them, and the
// place where that was.
func spelt(l *config.Loaded, err error) error {
	e, ok := errors.AsType[*config.Error](err)
	switch {
	case !ok:
		return err
	case e.Failed:
		return errors.New(config.Text(err, l.Spell))
	}
	if first, ways := e.Lines(l.Spell); len(ways) > 0 {
		return &cli.Choice{Err: misconfigured(l.At(e.Setting), errors.New(l.Place(e.Setting)+first)), Ways: ways}
	}
	return misconfigured(l.At(e.Setting), errors.New(l.Place(e.Setting)+config.Text(err, l.Spell)))
}

// misconfigured is an error of a setting. Where a flag is wrong, or missing, the help
// says more.
func misconfigured(from config.Origin, err error) error {
	if from.File != "" || from.Variable != "" {
		return cli.Misconfigured(err)
	}
	return cli.Usagef("%w", err)
}

// Unusable is why settings cannot be used, said where they were given; nil: they can.
func Unusable(l *config.Loaded) error { return unusable(l) }

// unusable is why settings cannot be used; nil: they can.
func unusable(l *config.Loaded) error {
	err := l.Usable()
	if err == nil {
		return nil
	}
	p, _ := errors.AsType[*config.Problem](err)
	if more := len(l.Problems) - 1; more > 0 {
		err = fmt.Errorf(`%w (and %s: "detour config check" has all)`, err, cli.Counted(more, "problem"))
	}
	return misconfigured(p.Origin, err)
}
