// Package tailcat has Tailscale's program of that name carry files between two of its nodes by way of our relay, whose map
// `detour map serve` tells them. Its nodes have no control server, and are not the versions of the other interop tests.
//
// As those of package tailnet, they run in a network namespace of their own, which takes root, or a Linux that lets users
// make namespaces, and the `ip` tool. Where it cannot be, the test fails and says what is missing.
package tailcat

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/detour-relay/detour/test/interop/programs"
)

const (
	insideEnv  = "TAILCAT_INSIDE"  // is set in the process within the namespace
	programEnv = "TAILCAT_PROGRAM" // names the program to that
)

func TestMain(m *testing.M) {
	start := runOutside
	if os.Getenv(insideEnv) != "" {
		start = func() (int, error) {
			if err := programs.PrepareNetwork(); err != nil {
				return 1, err
			}
			return m.Run(), nil
		}
	}
	status, err := start()
	programs.Clean()
	if err != nil {
		fmt.Fprintf(os.Stderr, "tailcat: cannot run here: %v\n", err)
		status = 1
	}
	os.Exit(status)
}

// runOutside builds the programs, which takes the go command and perhaps a network, then runs this binary again inside a
// namespace.
func runOutside() (status int, err error) {
	detour, err := programs.Detour()
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "detour-tailcat-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	tailcat, err := build(dir)
	if err != nil {
		return 1, err
	}
	return programs.EnterNamespace([]string{
		insideEnv + "=1",
		programs.DetourEnv + "=" + detour,
		programEnv + "=" + tailcat,
	})
}

// build builds the program. Of the versions of gvisor.dev/gvisor none is served that has the option which tailscale.com sets
// on Windows, so it is built with a copy of tailscale.com that is without that line.
func build(dir string) (program string, err error) {
	const line = "opts.ClockResolution = 500 * time.Microsecond"
	original, err := run("go", "list", "-m", "-f", "{{.Dir}}", "tailscale.com")
	if err != nil {
		return "", err
	}
	own, modfile := filepath.Join(dir, "tailscale.com"), filepath.Join(dir, "go.mod")
	if err := os.CopyFS(own, os.DirFS(original)); err != nil {
		return "", err
	}
	if err := leaveOut(filepath.Join(own, "wgengine", "netstack", "netstack.go"), line); err != nil {
		return "", err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		if text, err := os.ReadFile(name); err != nil || os.WriteFile(filepath.Join(dir, name), text, 0o600) != nil {
			return "", fmt.Errorf("%s cannot be copied: %w", name, err)
		}
	}
	if _, err := run("go", "mod", "edit", "-replace", "tailscale.com="+own, modfile); err != nil {
		return "", err
	}
	program = filepath.Join(dir, "tailcat")
	// Without the paths of the copy in it, the next build finds this one in the cache.
	_, err = run("go", "build", "-trimpath", "-modfile", modfile, "-o", program, "github.com/tailscale/tailcat/cmd/tailcat")
	return program, err
}

// leaveOut takes a line out of a file.
func leaveOut(file, line string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if strings.Count(string(text), line) != 1 {
		return fmt.Errorf("%s has no line %q any more: build it as it is", file, line)
	}
	return errors.Join(os.Chmod(file, 0o600), os.WriteFile(file, []byte(strings.Replace(string(text), line, "", 1)), 0o600))
}

// run returns what a command prints.
func run(program string, args ...string) (string, error) {
	out, err := exec.Command(program, args...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}
