// Package laptops runs scripts in which network namespaces of this machine are laptops and
// the internet. That takes root on Linux, and the programs that the scripts name. Where one
// is missing the tests fail; they never pass without having run.
package laptops

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience bounds a script, which takes seconds. It is told to end then, and tidies up.
const patience = 5 * time.Minute

var program string // ours

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "detour-laptops-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "detour")
	build := exec.Command("go", "build", "-o", program, "./cmd/detour")
	build.Dir = filepath.Join("..", "..")
	status := 1
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v\n%s", build, err, out)
	} else {
		os.Chmod(dir, 0o755) // the scripts run it as nobody, too
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// script runs one, which has to end well, and returns what it said.
func script(t *testing.T, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", name, program)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v (it takes root on Linux: `sudo make laptops`)\n%s", name, err, out)
	}
	t.Logf("%s", out)
	return string(out)
}

func TestTwoLaptops(t *testing.T) {
	out := script(t, "two-laptops.sh")
	for _, want := range []string{"3 packets transmitted, 3 received", "\nhello from ben\n", "relay 901 one", "\n== both are as they were\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}

func TestPairedLaptops(t *testing.T) {
	out := script(t, "paired-laptops.sh")
	for _, want := range []string{"\ncoord    none: paired\n", "\n== both are as they were\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	for _, twice := range []string{"3 packets transmitted, 3 received", "\nhello from ben\n"} {
		if strings.Count(out, twice) != 2 {
			t.Errorf("%q is not there twice:\n%s", twice, out)
		}
	}
}

func TestDirectPath(t *testing.T) {
	if out := script(t, "direct-path.sh"); !strings.Contains(out, "\n== so it goes on\n") {
		t.Error(out)
	}
}

func TestFaults(t *testing.T) {
	if out := script(t, "faults.sh"); !strings.Contains(out, "\n== all is said\n") {
		t.Error(out)
	}
}
