// Package docs runs the commands of the pages as they stand there, on a machine that is
// made for each page: namespaces of this one, with addresses and names as the page has
// them, empty directories where settings and state go, and a systemctl that starts what a unit says. That
// takes root on Linux, and the programs that the pages name. Where one is missing the tests
// fail; they never pass without having run.
//
// A page has a script in pages, which says in which order its blocks are run, and makes
// what a page takes for granted; lib.sh has its words. cmd/detour's tests hold that each
// block of commands of each page is in its script, or run elsewhere.
package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/pages"
)

const (
	repository = "../.."
	patience   = 5 * time.Minute // for a page, which takes seconds
)

// wireGuard is the program of its own authors, which the product has as a library.
const wireGuard = "golang.zx2c4.com/wireguard"

// program is ours.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "detour-docs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "detour")
	status := 1
	if build("detour", "./cmd/detour") && build("asked", "./asked") && build("wireguard-go", wireGuard) {
		os.Chmod(dir, 0o755) // services run it as their user
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// build makes a program of a package of the product or of one that it imports, or of one below us.
func build(name, what string) bool {
	cmd := exec.Command("go", "build", "-o", filepath.Join(filepath.Dir(program), name), what)
	if what != "./asked" {
		cmd.Dir = repository
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v\n%s", cmd, err, out)
	}
	return err == nil
}

// The commands of each page that has a script do what the page says.
func TestPages(t *testing.T) {
	names, err := pages.Names(repository)
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob("pages/*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatal("there are no scripts")
	}
	for _, script := range scripts {
		short := strings.TrimSuffix(filepath.Base(script), ".sh")
		at := slices.IndexFunc(names, func(name string) bool {
			return strings.EqualFold(strings.TrimSuffix(filepath.Base(name), ".md"), short) && name != "docs/README.md"
		})
		if at < 0 {
			t.Errorf("%s: there is no such page", script)
			continue
		}
		t.Run(short, func(t *testing.T) {
			t.Parallel()
			page, err := pages.Read(repository, names[at])
			if err != nil {
				t.Fatal(err)
			}
			runPage(t, page, script)
		})
	}
}

// runPage runs a page's script on a machine of its own.
func runPage(t *testing.T, page *pages.Page, script string) {
	blocks := t.TempDir()
	for _, b := range page.Blocks {
		put(t, filepath.Join(blocks, b.Name), b.Text)
		if b.Lang != "console" {
			continue
		}
		for i, c := range b.Commands() {
			put(t, filepath.Join(blocks, fmt.Sprintf("%s.%d.command", b.Name, i)), c.Text)
			put(t, filepath.Join(blocks, fmt.Sprintf("%s.%d.output", b.Name, i)), c.Output)
		}
	}
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// What the script starts is in a PID namespace, and ends with its first process.
	cmd := exec.CommandContext(ctx, "unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "lib.sh", script)
	cmd.Env = append(os.Environ(), "PROGRAM="+program, "BLOCKS="+blocks, "REPOSITORY="+root, "DETOUR_ADMIN_SOCKET=")
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "DETOUR_") || strings.HasPrefix(v, "XDG_") })
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v (it takes root on Linux: `sudo make docs`)\n%s", script, err, out)
		return
	}
	t.Logf("%s", out)
	ran := regexp.MustCompile(`(?m)^== (\S+)$`).FindAllStringSubmatch(string(out), -1)
	text, _ := os.ReadFile(script)
	for _, m := range regexp.MustCompile(`(?m)^(?:on \S+ )?(?:run|each|serves?|show|like) ([a-z0-9_-]+)`).FindAllStringSubmatch(string(text), -1) {
		if !slices.ContainsFunc(ran, func(r []string) bool { return r[1] == m[1] }) {
			t.Errorf("%s says that it runs %s, and has not", script, m[1])
		}
	}
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
