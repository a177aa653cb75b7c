package relaycmd

import (
	"errors"

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
	return cli.Usagef("%s%s", l.Place(e.Setting), config.Text(err, l.Spell))
}
