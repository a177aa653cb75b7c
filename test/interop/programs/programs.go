// Package programs builds and runs the two relay programs that the interop tests put side by side: our own `detour relay`
// and the reference `derper`. Both run as an operator runs them, as processes with a TLS certificate for 127.0.0.1, so
// that a test never shares memory, scheduler or garbage collector with the relay that it examines. It also builds the
// reference's prober.
//
// A program is built once per test binary, through the go command and its cache. A Relay lives until the test that started
// it ends; what it logged is shown if that test failed.
package programs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Environment variables that name programs already built. A test that runs where the go command cannot (in a network
// namespace) is handed them by the process that entered the namespace.
const (
	DetourEnv = "DETOUR_PROGRAM"
	DerperEnv = "DERPER_PROGRAM"
)

// built holds the directory that Detour made, for Clean.
var built struct {
	mu  sync.Mutex
	dir string
}

// Detour returns the path of our program, built from this work tree with the dependencies of its own go.mod, as a user
// builds it.
var Detour = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(DetourEnv); path != "" {
		return path, nil
	}
	root, err := goCommand("list", "-m", "-f", "{{.Dir}}", "github.com/detour-relay/detour")
	if err != nil {
		return "", err
	}
	built.mu.Lock()
	defer built.mu.Unlock()
	if built.dir, err = os.MkdirTemp("", "detour-interop-"); err != nil {
		return "", err
	}
	path := filepath.Join(built.dir, "detour")
	_, err = goCommand("-C", root, "build", "-o", path, "./cmd/detour")
	return path, err
})

// Derper returns the path of the reference program. It is a tool of this module, so go.mod says which version it is.
var Derper = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(DerperEnv); path != "" {
		return path, nil
	}
	return goCommand("tool", "-n", "derper")
})

// Derpprobe returns the path of the reference's prober, a tool of this module like derper.
var Derpprobe = sync.OnceValues(func() (string, error) { return goCommand("tool", "-n", "derpprobe") })

// Clean removes what Detour built, if anything. TestMain calls it last.
func Clean() {
	built.mu.Lock()
	defer built.mu.Unlock()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
}

func goCommand(args ...string) (string, error) {
	out, err := exec.Command("go", args...).Output()
	if err == nil {
		return strings.TrimSpace(string(out)), nil
	}
	detail := ""
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		detail = "\n" + string(exit.Stderr)
	}
	return "", fmt.Errorf("go %s: %w%s", strings.Join(args, " "), err, detail)
}
