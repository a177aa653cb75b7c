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
)

var (
	readmeProgram = regexp.MustCompile("(?s)```go\n(package main\n.*?)```")
	readmeMap     = regexp.MustCompile(`http://127\.0\.0\.1:13340/derpmap\.json`)
)

// The program in the README does what the README says, on a demo.
func TestReadmeProgram(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := readmeProgram.FindSubmatch(text)
	if block == nil || !readmeMap.Match(block[1]) {
		t.Fatal("the README has no program that reads the demo's map")
	}
	program := readmeMap.ReplaceAll(block[1], []byte(startTestDemo(t)))
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, program, 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.Command("go", "run", file)
	run.Stderr = os.Stderr
	out, err := run.Output()
	if want := regexp.MustCompile(`^hello from nodekey:[0-9a-f]{64} in region 90[01] \(.+\)\n$`); err != nil || !want.Match(out) {
		t.Errorf("%v: it printed %q", err, out)
	}
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
