//go:build unix

package mapfeed

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A shell's <(command) is a pipe, and one to which nobody writes must not make a
// program deaf to signals.
func TestPipesAreReadUntilAnInterrupt(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := NewSource(SourceConfig{Name: pipe})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Read(ctx); err == nil || !strings.Contains(err.Error(), "interrupted while reading "+pipe) {
		t.Errorf("interrupted: %v", err)
	}
	if err := os.WriteFile(pipe, []byte(oneRegion), 0); err != nil { // frees the reader that was left
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "pipe") // the reader that was left may still hold the first
	if err := syscall.Mkfifo(other, 0o600); err != nil {
		t.Fatal(err)
	}
	go os.WriteFile(other, []byte(oneRegion), 0)
	if got, err := read(t, SourceConfig{Name: other}); err != nil || string(got.Data) != oneRegion {
		t.Errorf("%q, %v", got.Data, err)
	}
}

func TestFilesThatCannotBeReadAreExplained(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link.json")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	_, err := read(t, SourceConfig{Name: link})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "is a symbolic link to nowhere, which is not there") {
		t.Errorf("dangling link: %v", err)
	}
	if _, err = read(t, SourceConfig{Name: dir}); err == nil || !strings.Contains(err.Error(), "is a directory: name a regular file") {
		t.Errorf("directory: %v", err)
	}
}
