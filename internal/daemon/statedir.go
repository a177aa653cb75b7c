package daemon

import (
	"os"
	"path/filepath"
	"runtime"

	"github.com/detour-relay/detour/internal/config"
)

// systemStateDir is that of a relay that runs for the whole machine.
const systemStateDir = "/var/lib/detour"

// stateDir returns where a relay keeps what must outlive it: where its settings or
// the service manager say, else where the system's custom has it.
func stateDir(cfg config.Config) (string, error) {
	if cfg.StateDir != "" {
		return cfg.StateDir, nil
	}
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" {
		return dir, nil
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		dir, err := os.UserConfigDir()
		return filepath.Join(dir, "detour"), err
	}
	if os.Geteuid() == 0 {
		return systemStateDir, nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "detour"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &config.Error{Setting: "state-dir", What: "is missing, and there is no home directory to choose one in"}
	}
	return filepath.Join(home, ".local", "state", "detour"), nil
}
