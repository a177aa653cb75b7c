package smallfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestWriteNewKeepsWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := WriteNew(path, []byte("first"), ModeSecret); err != nil {
		t.Fatal(err)
	}
	checkMode(t, path, 0o600)
	if err := WriteNew(path, []byte("second"), ModeSecret); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second file of the name: %v, want fs.ErrExist", err)
	}
	checkText(t, path, "first")
	checkOnlyFile(t, path)
}

func TestWriteOverReplacesTextAndMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, c := range []struct {
		text string
		mode fs.FileMode
		want fs.FileMode
	}{{"new", 0o600, 0o600}, {"open", 0o664, 0o664}, {"secret", ModeSecret, 0o600}} {
		if err := WriteOver(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		checkText(t, path, c.text)
		checkMode(t, path, c.want)
		checkOnlyFile(t, path)
	}
}

// What cannot be finished leaves neither a part nor a file aside.
func TestWriteThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteOver(path, []byte("x"), 0); err == nil {
		t.Error("replaced a directory")
	}
	if err := WriteNew(path, []byte("x"), 0); !errors.Is(err, fs.ErrExist) {
		t.Errorf("new file in place of a directory: %v", err)
	}
	if err := WriteNew(filepath.Join(dir, "no", "f"), []byte("x"), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("new file below no directory: %v", err)
	}
	checkOnlyFile(t, path)
}

// What the system says of a place that takes no more comes with what to do.
func TestWriteThatFailsSaysWhatToDo(t *testing.T) {
	for why, want := range map[error]string{syscall.ENOSPC: "make room there", syscall.EDQUOT: "make room there", syscall.EROFS: "name another place"} {
		err := nameFile(errors.Join(&fs.PathError{Op: "write", Path: "/d/.x.tmp", Err: why}, nil), "/d/f")
		if !errors.Is(err, why) || !strings.HasPrefix(err.Error(), "write /d/f: "+why.Error()+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func checkText(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
	}
}

func checkMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	if runtime.GOOS == "windows" { // has no such modes
		return
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("file mode %v, want %v", got, want)
	}
}

// checkOnlyFile fails if a temporary file was left behind.
func checkOnlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v (%v), want the file alone", entries, err)
	}
}
