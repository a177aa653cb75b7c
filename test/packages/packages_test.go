// Package packages installs what a release has, in a small Debian that it makes, and runs it
// there. That takes root on Linux, and mmdebstrap, rpm, ip and nc. Where one is missing the
// tests fail; they never pass without having run.
package packages

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience bounds a script, which takes seconds.
const patience = 5 * time.Minute

// before and now are directories with two releases, and system one with the small Debian.
var before, now, system string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "detour-packages-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	before, now, system = filepath.Join(dir, "before"), filepath.Join(dir, "now"), filepath.Join(dir, "system")
	status := 1
	if release(now) && release(before, "--version", "v0.0.0-0.before") && debian(system) {
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// release makes one of the commit, for this machine.
func release(out string, more ...string) bool {
	return releaseOf(filepath.Join("..", ".."), out, more...)
}

func releaseOf(source, out string, more ...string) bool {
	args := append([]string{"run", ".", "--dirty", "--platforms", "linux/" + runtime.GOARCH, "--out", out}, more...)
	return run(filepath.Join(source, "tools", "release"), "go", args...)
}

// debian makes a root directory with what every Debian has, from where this machine has its
// packages from.
func debian(root string) bool {
	args := []string{"-c", `. /etc/os-release
		sources=/etc/apt/sources.list.d/debian.sources
		[ -e "$sources" ] || sources=/etc/apt/sources.list
		exec mmdebstrap --quiet --variant=essential --include=passwd "$VERSION_CODENAME" "$1" "$sources"`, "debian", root}
	return run(".", "sh", args...)
}

func run(dir, program string, args ...string) bool {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v (it takes root on Linux: `sudo make packages`)\n%s", cmd, err, out)
	}
	return err == nil
}

// copied is a root directory for one test.
func copied(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	if out, err := exec.Command("cp", "--archive", system, root).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return root
}

// only is the one file of a release with such a name.
func only(t *testing.T, release, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(release, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s has %q of %s (%v)", release, found, pattern, err)
	}
	return found[0]
}

// script runs one, which has to end well, and returns what it said.
func script(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", append([]string{name}, args...)...)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	t.Logf("%s", out)
	return string(out)
}

func TestDebianPackage(t *testing.T) {
	out := script(t, "deb.sh", copied(t), only(t, before, "*.deb"), only(t, now, "*.deb"))
	for _, want := range []string{"\n== all is as it was\n", ", 0 failed, "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestRPMPackage(t *testing.T) {
	if out := script(t, "rpm.sh", copied(t), only(t, before, "*.rpm"), only(t, now, "*.rpm")); !strings.HasSuffix(out, "\n== all is as it was\n") {
		t.Error("it has not come to its end")
	}
}

// A package of what is before a release is older than that for dpkg, too, and anybody can
// compare what was downloaded with its sum.
func TestSumsAndVersions(t *testing.T) {
	if out, err := exec.Command("dpkg", "--compare-versions", version(t, before), "lt", version(t, now)).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = now
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func version(t *testing.T, release string) string {
	t.Helper()
	out, err := exec.Command("dpkg-deb", "--field", only(t, release, "*.deb"), "Version").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
