package smallfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// in makes a directory that others may enter, with a file of five bytes in it.
func in(t *testing.T) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func TestReadGivesTheWholeFile(t *testing.T) {
	_, file := in(t)
	if data, err := Read(file, 5); err != nil || string(data) != "hello" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestReadSaysWhyNot(t *testing.T) {
	dir, file := in(t)
	link := filepath.Join(dir, "link")
	if err := os.Symlink("gone/away", link); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path string
		want string
		is   error
	}{
		"too large":         {file, "f is larger than 0 KiB", nil},
		"directory":         {dir, "is a directory: name a regular file", nil},
		"no name":           {"", "the name of the file is empty", nil},
		"not there":         {filepath.Join(dir, "none"), "no such file", fs.ErrNotExist},
		"no directory":      {filepath.Join(dir, "a", "b", "c"), "there is no directory " + filepath.Join(dir, "a"), fs.ErrNotExist},
		"dangling link":     {link, "link is a symbolic link to gone/away, which is not there", fs.ErrNotExist},
		"below what is one": {filepath.Join(file, "x"), "not a directory", nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(c.path, 4)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("error %v, want %q and the path", err, c.want)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is no %v", err, c.is)
			}
		})
	}
}
