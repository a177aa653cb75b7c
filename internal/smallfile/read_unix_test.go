//go:build unix

package smallfile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A pipe that nobody writes to must not hold up the start of a relay.
func TestReadRefusesWhatIsNoFile(t *testing.T) {
	dir, file := in(t)
	pipe, socket := filepath.Join(dir, "pipe"), filepath.Join(dir, "socket")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	circle := filepath.Join(dir, "circle")
	must(t, os.Symlink("circle", circle))
	for path, want := range map[string]string{
		pipe: "is a pipe: name a regular file", socket: "is a socket: name a regular file", "/dev/null": "is a device",
		circle: "lead in a circle", filepath.Join(file, "below"): file + " is no directory",
	} {
		if _, err := Read(path, 100); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
}

// asNobody runs f as a user without rights, where the test has those of root.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	if err := syscall.Seteuid(65534); err != nil {
		t.Fatal(err)
	}
	defer syscall.Seteuid(0)
	f()
}

func TestReadSaysWhoMayNotReadWhat(t *testing.T) {
	dir, file := in(t)
	closed := filepath.Join(dir, "live")
	must(t, os.MkdirAll(filepath.Join(closed, "below"), 0o755))
	must(t, os.WriteFile(filepath.Join(closed, "below", "f"), nil, 0o644))
	must(t, os.Symlink(filepath.Join("live", "below", "f"), filepath.Join(dir, "link")))
	must(t, os.Chmod(closed, 0))
	must(t, os.Chmod(file, 0))
	t.Cleanup(func() { os.Chmod(closed, 0o700) })
	for name, c := range map[string]struct{ path, refuses string }{
		"directory":          {filepath.Join(closed, "below", "f"), "may not enter the directory " + closed + " (d---------, owner "},
		"behind a link":      {filepath.Join(dir, "link"), "may not enter the directory " + closed + " (d---------"},
		"the file by itself": {file, "may not read " + file + " (----------, owner "},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			me := ""
			asNobody(t, func() {
				_, err = Read(c.path, 100)
				me = whoami()
			})
			if !errors.Is(err, fs.ErrPermission) {
				t.Fatalf("error %v", err)
			}
			for _, want := range []string{c.path, me, c.refuses, "LoadCredential=", "by chown to what this program keeps itself"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestWriteSaysWhoMayNotWriteWhere(t *testing.T) {
	dir, file := in(t)
	closed := filepath.Join(dir, "closed")
	must(t, os.MkdirAll(filepath.Join(closed, "below"), 0o755))
	must(t, os.Chmod(dir, 0o555))
	must(t, os.Chmod(closed, 0))
	t.Cleanup(func() { os.Chmod(dir, 0o700); os.Chmod(closed, 0o700) })
	for path, want := range map[string]string{
		filepath.Join(dir, "f"):             "may not write into the directory " + dir + " (dr-xr-xr-x, owner ",
		filepath.Join(dir, "no", "no", "f"): "there is no directory " + filepath.Join(dir, "no"),
		filepath.Join(closed, "below", "f"): "may not enter the directory " + closed + " (d---------, owner ",
		filepath.Join(file, "f"):            file + " is no directory",
	} {
		asNobody(t, func() {
			for _, write := range []func(string, []byte, fs.FileMode) error{WriteNew, WriteOver} {
				if err := write(path, []byte("x"), ModeSecret); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: error %v, want %q", path, err, want)
				}
			}
		})
	}
	asNobody(t, func() {
		want := "may not write into the directory " + dir + " ("
		if err := MakeDir(filepath.Join(dir, "no", "no")); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), want) {
			t.Errorf("directory below one that refuses: %v, want %q", err, want)
		}
	})
}

func TestModesThatLetOthersIn(t *testing.T) {
	dir, file := in(t)
	if !OpenToOthers(file) || WritableByOthers(file) {
		t.Error("mode 0644: readable, not writable")
	}
	must(t, os.Chmod(file, 0o640))
	if OpenToOthers(file) {
		t.Error("mode 0640 is not open to others")
	}
	must(t, os.Chmod(dir, 0o777))
	if !WritableByOthers(dir) {
		t.Error("mode 0777: writable")
	}
	must(t, os.Chmod(dir, 0o777|fs.ModeSticky))
	if WritableByOthers(dir) {
		t.Error("in a sticky directory others replace nothing")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
