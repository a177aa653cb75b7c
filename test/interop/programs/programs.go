// Package programs builds and runs the two relay programs that the interop tests put side by side: our own `detour relay`
// and the reference `derper`. Both run as an operator runs them, as processes with a TLS certificate for 127.0.0.1, so
// that a test never shares memory, scheduler or garbage collector with the relay that it examines. It also builds the
// reference's prober.
//
// A program is built once per test binary, through the go command and its cache. A Relay lives until the test that started
// it ends; what it logged is shown if that test failed.
package programs

import (
	"context"
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

// GoEnv names the go command that builds the product, if it is another than runs
// the tests.
const GoEnv = "DETOUR_GO"

// built holds the directories that Detour and Place made, for Clean.
var built struct {
	mu   sync.Mutex
	dirs []string
}

// newDir makes a directory that Clean removes.
func newDir() (string, error) {
	dir, err := os.MkdirTemp("", "detour-interop-")
	built.mu.Lock()
	defer built.mu.Unlock()
	built.dirs = append(built.dirs, dir)
	return dir, err
}

// Detour returns the path of our program, built from this work tree with the dependencies of its own go.mod, as a user
// builds it.
var Detour = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(DetourEnv); path != "" {
		return path, nil
	}
	return buildDetour(ProductGo)
})

// DetourSameGo returns the path of our program as Detour does, only that the Go builds it which builds the reference.
var DetourSameGo = sync.OnceValues(func() (string, error) {
	return buildDetour(func(ctx context.Context, args ...string) *exec.Cmd { return exec.CommandContext(ctx, "go", args...) })
})

func buildDetour(command func(context.Context, ...string) *exec.Cmd) (string, error) {
	here, err := directory()
	if err != nil {
		return "", err
	}
	dir, err := newDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "detour")
	_, err = run(command(context.Background(), "build", "-o", path, "./cmd/detour"), filepath.Join(here, "..", "..", ".."))
	return path, err
}

// Place returns the path of our program by the name of derper, whose command line it takes there.
var Place = sync.OnceValues(func() (string, error) {
	program, err := Detour()
	if err != nil {
		return "", err
	}
	dir, err := newDir()
	if err != nil {
		return "", err
	}
	link := filepath.Join(dir, "derper")
	return link, os.Symlink(program, link)
})

// Derper returns the path of the program that the tests call derper: the reference,
// unless the environment names another, such as what Place returns.
var Derper = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(DerperEnv); path != "" {
		return path, nil
	}
	return Reference()
})

// Reference returns the path of the reference program. It is a tool of the module above
// this one, whose go.mod says which version it is.
var Reference = sync.OnceValues(func() (string, error) { return tool("derper") })

// Derpprobe returns the path of the reference's prober, a tool like derper.
var Derpprobe = sync.OnceValues(func() (string, error) { return tool("derpprobe") })

// Clean removes what Detour built, if anything. TestMain calls it last.
func Clean() {
	built.mu.Lock()
	defer built.mu.Unlock()
	for _, dir := range built.dirs {
		os.RemoveAll(dir)
	}
}

// ProductGo returns the go command with arguments, to run in the product's
// directory. The reference wants a newer Go than the product: GoEnv names the
// product's own, where the tests were started with the other one.
func ProductGo(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	if own := os.Getenv(GoEnv); own != "" {
		cmd = exec.CommandContext(ctx, own, args...)
		for _, variable := range os.Environ() {
			name, _, _ := strings.Cut(variable, "=")
			if name != "GOTOOLCHAIN" && name != "GOROOT" { // those of the other one
				cmd.Env = append(cmd.Env, variable)
			}
		}
	}
	return cmd
}

// tool builds a tool of the module above, and returns its path.
func tool(name string) (string, error) {
	here, err := directory()
	if err != nil {
		return "", err
	}
	return run(exec.Command("go", "tool", "-n", name), filepath.Dir(here))
}

// directory returns where this module is.
func directory() (string, error) {
	return run(exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/detour-relay/detour/test/interop/programs"), ".")
}

// run returns what a go command that runs in dir prints.
func run(cmd *exec.Cmd, dir string) (string, error) {
	cmd.Dir = dir
	out, err := cmd.Output()
	if err == nil {
		return strings.TrimSpace(string(out)), nil
	}
	detail := ""
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		detail = "\n" + string(exit.Stderr)
	}
	return "", fmt.Errorf("%s: %w%s", strings.Join(cmd.Args, " "), err, detail)
}
