package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestSums(t *testing.T) {
	r := &release{out: t.TempDir()}
	for _, name := range []string{"detour-b", "detour-a"} {
		if err := r.put(name, []byte(name), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.sums(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(r.out, "SHA256SUMS"))
	want := fmt.Sprintf("%x  detour-a\n%x  detour-b\n", sha256.Sum256([]byte("detour-a")), sha256.Sum256([]byte("detour-b")))
	if err != nil || string(got) != want {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
}

// What an earlier release has left goes, and nothing else.
func TestOnlyWhatAReleaseMadeIsDeleted(t *testing.T) {
	r := &release{out: t.TempDir()}
	gone := []string{"detour-v0.1.0-linux-amd64.tar.gz", "detour_0.1.0-1_amd64.deb", "SHA256SUMS"}
	left := []string{"detour", "thesis.doc", "site/index.html", "detour-notes/mine"}
	for _, name := range append(gone, left...) {
		file := filepath.Join(r.out, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.empty(); err != nil {
		t.Fatal(err)
	}
	for _, name := range left {
		if _, err := os.Stat(filepath.Join(r.out, name)); err != nil {
			t.Error(err)
		}
	}
	for _, name := range gone {
		if _, err := os.Stat(filepath.Join(r.out, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left (%v)", name, err)
		}
	}
}
