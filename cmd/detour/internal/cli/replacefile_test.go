package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceFileKeepsModeAndLink(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "map.json"), filepath.Join(dir, "link.json")
	if err := os.WriteFile(file, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("map.json", link); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceFile(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(file)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link has become a file")
	}
	wantFiles(t, dir, map[string]string{"map.json": "new", "link.json": "new"})
}

// wantFiles compares what a directory holds, and so finds what was left behind.
func wantFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil || string(text) != want[e.Name()] {
			t.Errorf("%s holds %q (%v)", e.Name(), text, err)
		}
		delete(want, e.Name())
	}
	for name := range want {
		t.Errorf("%s is not there", name)
	}
}
