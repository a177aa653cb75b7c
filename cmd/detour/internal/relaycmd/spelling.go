package relaycmd

import (
	"errors"
	"strings"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/config"
)

// flagOf says how the command line calls a setting. Others are called as they are.
var flagOf = map[string]string{
	"tls.mode":       "--tls",
	"tls.cert":       "--cert",
	"tls.key":        "--key",
	"accept.limit":   "--accept-limit",
	"accept.burst":   "--accept-burst",
	"mesh.key-file":  "--mesh-psk-file",
	"mesh.rebalance": "--rebalance",
}

// FlagName says how the command line calls a setting: as flagOf has it, or with
// hyphens where the setting has dots.
func FlagName(setting string) string {
	if flag := flagOf[setting]; flag != "" {
		return flag
	}
	return "--" + strings.ReplaceAll(setting, ".", "-")
}

// Spelt gives an error the names of flags for the settings in it. Settings that mean
// nothing are wrong usage.
func Spelt(err error) error {
	e, ok := errors.AsType[*config.Error](err)
	switch {
	case !ok:
		return err
	case e.Failed:
		return errors.New(config.Text(err, FlagName))
	}
	return cli.Usagef("%s", config.Text(err, FlagName))
}
