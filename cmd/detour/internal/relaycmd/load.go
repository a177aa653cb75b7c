package relaycmd

import (
	"os"

	"github.com/detour-relay/detour/internal/config"
)

// load reads the settings of the command line and the environment.
func (f *settingFlags) load() *config.Loaded {
	return config.Load(config.Sources{Environment: os.Environ(), Flags: f.given})
}
