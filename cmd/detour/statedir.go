package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

const stateDirHelp = "$STATE_DIRECTORY, /var/lib/detour for root, else the user's own"

// defaultStateDir returns where a program keeps what must outlive it: where the
// service manager says, else where the system's custom has it.
func defaultStateDir() (string, error) {
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" {
		return dir, nil
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		dir, err := os.UserConfigDir()
		return filepath.Join(dir, "detour"), err
	}
	if os.Geteuid() == 0 {
		return "/var/lib/detour", nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "detour"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("--state-dir is missing, and there is no home directory to choose one in")
	}
	return filepath.Join(home, ".local", "state", "detour"), nil
}
