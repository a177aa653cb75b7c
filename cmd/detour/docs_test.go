package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	docFile    = regexp.MustCompile("(?s)```yaml\n(# (\\S+\\.yaml)\n.*?)```")
	docConsole = regexp.MustCompile("(?s)```console\n\\$ ([^\n]*)\n(.*?)```")
	asRoot     = regexp.MustCompile(`(?m) \(looked at as root.*\)$`)
)

// The commands in docs/configuration.md print what stands beneath them. A block of
// YAML that begins with the name of a file is that file.
func TestConfigurationPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]string{"members": "nodekey:" + strings.Repeat("ab", 32) + " label=alice\n"}
	for _, file := range docFile.FindAllStringSubmatch(string(text), -1) {
		files[file[2]] = file[1]
	}
	for name, contents := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(contents), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	commands := docConsole.FindAllStringSubmatch(string(text), -1)
	if len(files) < 3 || len(commands) < 6 {
		t.Fatalf("the page has %d files and %d commands only", len(files), len(commands))
	}
	for _, command := range commands {
		run := exec.Command("sh", "-c", command[1])
		run.Dir = dir
		out, _ := run.CombinedOutput() // the status is that of what is shown to be wrong
		if got := asRoot.ReplaceAllString(string(out), ""); got != command[2] {
			t.Errorf("%s\nprints\n%snot\n%s", command[1], got, command[2])
		}
	}
}
