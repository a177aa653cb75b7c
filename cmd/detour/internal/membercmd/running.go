package membercmd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/unit"
)

// runningState finds the state file of the up that runs, for commands that ask it: that of
// this user, of the service, or, for who asks by sudo, of the user who does.
func runningState(ctx context.Context, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	var there, alive []string
	shut := ""
	for _, dir := range memberDirs() {
		files, err := membersIn(dir)
		if errors.Is(err, fs.ErrPermission) {
			shut = dir
		}
		for _, file := range files {
			there = append(there, file)
			if isServed(ctx, file) {
				alive = append(alive, file)
			}
		}
	}
	switch {
	case len(alive) == 1:
		return alive[0], nil
	case len(alive) > 1:
		return "", &cli.Choice{Err: cli.Usagef("several run: choose one"), Ways: ways(alive)}
	case shut != "":
		return "", cli.Unansweredf("this user runs no \"detour up\"; if root or the service does, ask as root (sudo): %s is not for others", shut)
	case len(there) == 0:
		return "", cli.Unansweredf("no \"detour up\" runs: this machine is no member yet; if one runs with --state, name the same file here")
	}
	return "", cli.Unansweredf("no \"detour up\" runs with %s", strings.Join(there, " or "))
}

// memberDirs are where members of this machine have their state unless they are told.
func memberDirs() (dirs []string) {
	if dir, err := front.StateDir("", "members"); err == nil {
		dirs = append(dirs, dir)
	}
	if runtime.GOOS != "linux" {
		return dirs
	}
	if len(dirs) == 0 || dirs[0] != serviceDir {
		dirs = append(dirs, serviceDir)
	}
	if home := homeOf(os.Getenv("SUDO_USER")); home != "" && os.Geteuid() == 0 {
		dirs = append(dirs, filepath.Join(home, ".local", "state", "detour", "members"))
	}
	return dirs
}

// homeOf is the home of a user that this machine itself has; empty: it has none.
func homeOf(name string) string {
	text, err := smallfile.Read("/etc/passwd", 16<<20)
	if err != nil || name == "" {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 7 && f[0] == name {
			return f[5]
		}
	}
	return ""
}

// membersIn are the state files of a directory; none, if it is not there.
func membersIn(dir string) (files []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if ok, _ := filepath.Match("*.json", e.Name()); ok {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return files, err
}

// ofService reports whether the service of this machine is the one that runs with a state
// file.
func ofService(ctx context.Context, stateFile string) bool {
	if filepath.Dir(stateFile) != serviceDir {
		return false
	}
	text, err := smallfile.Read(unit.FileOf(unit.Member), 1<<20)
	return err == nil && strings.Contains(string(text), " "+stateFile) && unit.Config{Name: unit.Member}.Runs(ctx)
}
