package front

import (
	"cmp"
	"os"
	"path/filepath"
	"runtime"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
)

// systemStateDir is that of servers that run for the whole machine.
const systemStateDir = "/var/lib/detour"

// StateDir returns where a server keeps what must outlive it: where its settings or
// the service manager say, else where the system's custom has it. There, sub is the
// part of servers of one kind; empty: a relay's.
func StateDir(given, sub string) (string, error) {
	if given != "" {
		return given, nil
	}
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" {
		return dir, nil
	}
	dir, err := usualStateDir()
	return filepath.Join(dir, sub), err
}

func usualStateDir() (string, error) {
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

// StateDirs are where servers of this machine keep their state unless they are told:
// for commands that look for one.
func StateDirs(sub string) []string {
	own, _ := StateDir("", sub)
	system := filepath.Join(systemStateDir, sub)
	if own == "" || own == system || runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return []string{cmp.Or(own, system)}
	}
	return []string{system, own}
}

// SocketPath returns where a server with these settings has its admin socket; empty:
// nowhere.
func SocketPath(cfg config.Config, sub string) (string, error) {
	switch {
	case cfg.AdminSocket == config.AdminSocketOff || cfg.AdminSocket == "" && cfg.Dev:
		return "", nil
	case cfg.AdminSocket != "":
		return cfg.AdminSocket, nil
	}
	dir, err := StateDir(cfg.StateDir, sub)
	return filepath.Join(dir, control.SocketName), err
}
