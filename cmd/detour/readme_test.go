package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/coordapi"
)

var (
	readmeProgram = regexp.MustCompile("(?s)```go\n(package main\n.*?)```")
	readmeMap     = regexp.MustCompile(`http://127\.0\.0\.1:13340/derpmap\.json`)
)

// The program in the README does what the README says, on a demo.
func TestReadmeProgram(t *testing.T) {
	program := readmeProgramAt(t, 0)
	if !readmeMap.MatchString(program) {
		t.Fatal("the first program of the README does not read the demo's map")
	}
	program = readmeMap.ReplaceAllString(program, startTestDemo(t))
	if out, want := goRun(t, t.TempDir(), program), regexp.MustCompile(`^hello from nodekey:[0-9a-f]{64} in region 90[01] \(.+\)\n$`); !want.MatchString(out) {
		t.Errorf("it printed %q", out)
	}
}

// The members in the README learn each other's home from a coordinator, with an invite for
// two and then with their state files.
func TestReadmeMembers(t *testing.T) {
	program, dir := readmeProgramAt(t, 1), t.TempDir()
	c, stop, err := newScriptCoordinator(startTestDemo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	made, err := c.Invite(t.Context(), c.home, coordapi.NewInvite{Uses: 2})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if out, want := goRun(t, dir, program, made.Text), regexp.MustCompile(`^hello from bob to alice in region 90[01]\n$`); !want.MatchString(out) {
			t.Errorf("it printed %q", out)
		}
	}
}

func readmeProgramAt(t *testing.T, n int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := readmeProgram.FindAllStringSubmatch(string(text), -1)
	if len(blocks) <= n {
		t.Fatalf("the README has %d programs", len(blocks))
	}
	return blocks[n][1]
}

// goRun builds a program as one of this module, runs it in the directory, and returns what
// it prints.
func goRun(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	file, bin := filepath.Join(t.TempDir(), "main.go"), filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", bin, file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := exec.Command(bin, args...)
	run.Dir, run.Stderr = dir, os.Stderr
	out, err := run.Output()
	if err != nil {
		t.Error(err)
	}
	return string(out)
}

// startTestDemo starts a demo in this process, and returns the URL of its map.
func startTestDemo(t *testing.T) string {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		root := newRootCommand()
		root.SetArgs([]string{"demo", "--port", "0", "--nodes", "1"})
		root.SetOut(writer)
		root.SetErr(os.Stderr)
		ended <- root.ExecuteContext(ctx)
		writer.Close()
	}()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		reader.Close()
	})
	banner, url := readDemo(bufio.NewScanner(reader))
	if url == "" {
		t.Fatalf("the demo is not ready: %s", strings.TrimSpace(banner))
	}
	return url
}
