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

// program is ours, and wireGuard the one of WireGuard's own authors.
var program, wireGuard string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "detour-laptops-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program, wireGuard = filepath.Join(dir, "detour"), filepath.Join(dir, "wireguard-go")
	status := 1
	if build(program, "./cmd/detour") && build(wireGuard, "golang.zx2c4.com/wireguard") {
		os.Chmod(dir, 0o755) // the scripts run it as nobody, too
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// build makes a program of what our module has.
func build(to, what string) bool {
	cmd := exec.Command("go", "build", "-o", to, what)
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v\n%s", cmd, err, out)
	}
	return err == nil
}

// script runs one, which has to end well, and returns what it said.
func script(t *testing.T, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", name, program, wireGuard)
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

func TestOwnWireGuard(t *testing.T) {
	out := script(t, "own-wireguard.sh")
	for _, want := range []string{"3 packets transmitted, 3 received", "bytes on the wire", "\n== each has its WireGuard\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}

func TestFaults(t *testing.T) {
	if out := script(t, "faults.sh"); !strings.Contains(out, "\n== all is said\n") {
		t.Error(out)
	}
}
