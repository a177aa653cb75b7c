package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The same commit makes the same bytes in another directory, at another time: programs,
// packages, images and lists of what is in them.
func TestReleaseIsTheSameAgain(t *testing.T) {
	elsewhere, out := filepath.Join(t.TempDir(), "another place"), t.TempDir()
	if text, err := exec.Command("cp", "--archive", filepath.Join("..", ".."), elsewhere).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if !releaseOf(elsewhere, out) {
		t.Fatal("the copy makes no release")
	}
	was, is := sums(t, now), sums(t, out)
	if was != is {
		t.Errorf("first\n%sthen\n%s", was, is)
	}
}

func sums(t *testing.T, release string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(release, "SHA256SUMS"))
	if err != nil || len(text) == 0 {
		t.Fatalf("%s has no checksums (%v)", release, err)
	}
	return string(text)
}
