// Package proxies runs the configurations of dist/proxies, as they are but for addresses
// and paths, with the real proxies before a real relay, and has our client, `detour
// check` and a real browser come through them.
//
// All of it happens in a network namespace of its own, in which every port is free: the
// test binary starts itself once more inside one. That takes root on Linux, and the
// programs. Where one is missing the tests fail; they never pass without having run.
package proxies

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// insideEnv has the path of our program in the process that runs inside the namespace.
const insideEnv = "PROXIES_TEST_PROGRAM"

var (
	program    string // ours
	repository string // its root
)

func TestMain(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintf(os.Stderr, "proxies: cannot run here: %v\n", err)
		status = 1
	}
	os.Exit(status)
}

func run(m *testing.M) (status int, err error) {
	if repository, err = filepath.Abs("../.."); err != nil {
		return 0, err
	}
	if program = os.Getenv(insideEnv); program != "" {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			return 0, fmt.Errorf("ip link set lo up: %w (%s)", err, strings.TrimSpace(string(out)))
		}
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "detour-proxies-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "detour")
	build := exec.Command("go", "build", "-o", program, "./cmd/detour")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%v: %w\n%s", build, err, out)
	}
	return enterNamespace(insideEnv + "=" + program)
}
