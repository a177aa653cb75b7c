//go:build unix

package control

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/smallfile"
)

// short returns a directory whose name leaves room for sockets.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func listen(t *testing.T, path string, takesOver bool) *Socket {
	t.Helper()
	s, err := ListenSocket(path, takesOver)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// only wants these names in a directory, so that nothing is left aside.
func only(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("%q stand in the directory, want %q", names, want)
	}
}

// answers reports which of the sockets takes a connection to the path.
func answers(t *testing.T, path string, s *Socket) bool {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	defer conn.Close()
	s.Listener.(*net.UnixListener).SetDeadline(deadline())
	taken, err := s.Accept()
	if err != nil {
		return false
	}
	taken.Close()
	return true
}

// The mode does not depend on the umask, which may let everybody in.
func TestSocketIsForItsUserOnly(t *testing.T) {
	before := syscall.Umask(0)
	defer syscall.Umask(before)
	dir := short(t)
	path := filepath.Join(dir, "deep", SocketName) // makes the directory
	s := listen(t, path, false)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v; want a socket with mode 0600", info, err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info, err)
	}
	if !answers(t, path, s) {
		t.Error("nobody answers")
	}
	only(t, filepath.Dir(path), SocketName)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	only(t, filepath.Dir(path))
}

// What nobody answers at is left over from a process that was killed.
func TestStaleSocketIsReplaced(t *testing.T) {
	dir := short(t)
	path := filepath.Join(dir, SocketName)
	left, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	aside := halfMade(t, dir)
	long := time.Now().Add(-2 * startTime)
	if err := os.Chtimes(aside, long, long); err != nil {
		t.Fatal(err)
	}
	s := listen(t, path, false)
	if !answers(t, path, s) {
		t.Error("nobody answers")
	}
	only(t, dir, SocketName)
}

// halfMade is what a process has made that was killed while it started, or that starts.
func halfMade(t *testing.T, dir string) (aside string) {
	t.Helper()
	aside = filepath.Join(dir, asidePrefix+"ABCD")
	if err := os.Mkdir(aside, 0o700); err != nil {
		t.Fatal(err)
	}
	half, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(aside, asideName)})
	if err != nil {
		t.Fatal(err)
	}
	half.SetUnlinkOnClose(false)
	half.Close()
	return aside
}

// Two members whose state files stand in one directory start at the same time.
func TestSocketOfAnotherThatStartsStays(t *testing.T) {
	dir := short(t)
	aside := halfMade(t, dir)
	listen(t, filepath.Join(dir, SocketName), false)
	only(t, dir, filepath.Base(aside), SocketName)
}

func TestSocketOfAnotherStays(t *testing.T) {
	dir := short(t)
	path := filepath.Join(dir, SocketName)
	first := listen(t, path, false)
	if s, err := ListenSocket(path, false); !errors.Is(err, ErrAnswered) {
		t.Fatalf("%v, %v", s, err)
	}
	only(t, dir, SocketName)
	if !answers(t, path, first) {
		t.Error("the first does not answer any more")
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(file, false); !errors.Is(err, ErrNoSocket) {
		t.Errorf("a file: %v", err)
	}
	if text, _ := os.ReadFile(file); string(text) != "precious" {
		t.Errorf("the file has become %q", text)
	}
}

// Who takes over owns the path from one moment to the next, and the process before
// does not take it away.
func TestSocketIsTakenOver(t *testing.T) {
	dir := short(t)
	path := filepath.Join(dir, SocketName)
	old := listen(t, path, false)
	next := listen(t, path, true)
	if !answers(t, path, old) {
		t.Error("before Publish the old one does not answer")
	}
	if err := next.Publish(); err != nil {
		t.Fatal(err)
	}
	if !answers(t, path, next) {
		t.Error("after Publish the new one does not answer")
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	if !answers(t, path, next) {
		t.Error("the old one has taken the path away")
	}
	only(t, dir, SocketName)
	failed := listen(t, path, true) // one that does not come up leaves nothing
	if err := failed.Close(); err != nil {
		t.Error(err)
	}
	if !answers(t, path, next) {
		t.Error("one that failed has taken the path away")
	}
	next.Close()
	only(t, dir)
}

func TestSocketSaysWhyNot(t *testing.T) {
	dir := short(t)
	long := filepath.Join(dir, strings.Repeat("x", mostPath-len(dir)-1))
	if s, err := ListenSocket(long, false); err != nil {
		t.Errorf("a path of %d bytes: %v", len(long), err)
	} else {
		s.Close()
	}
	_, err := ListenSocket(long+"x", false)
	if !errors.Is(err, ErrTooLong) || !strings.Contains(err.Error(), "it has 104 bytes, and 103 are possible") {
		t.Errorf("a byte more: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(filepath.Join(file, SocketName), false); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("below a file: %v", err)
	}
	if smallfile.WritableByOthers(dir) {
		t.Errorf("the directory is for all")
	}
}
