package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/reach/errno"
	"github.com/detour-relay/detour/internal/smallfile"
)

// SocketName is what the socket is called in a state directory.
const SocketName = "admin.sock"

// Why there is no socket.
var (
	// ErrAnswered: another process answers at the path.
	ErrAnswered = errors.New("another process answers there")
	// ErrTooLong: the system takes no socket of that path.
	ErrTooLong = errors.New("the path is too long for a socket")
	// ErrNoSocket: what stands there is something else, which stays.
	ErrNoSocket = errors.New("it is no socket")
)

// mostPath is how long the path of a socket may be, without the NUL behind it: 108
// bytes on Linux and Windows, 104 elsewhere.
const mostPath = 103

// SocketAccess is who may open a socket, where the system asks.
type SocketAccess struct {
	Mode  fs.FileMode
	Group int // -1: that of the process
}

// onlyUs is for this user alone.
var onlyUs = SocketAccess{Mode: smallfile.ModeSecret, Group: -1}

// give sets who may open the socket at a path.
func (a SocketAccess) give(path string) error {
	if a.Group >= 0 {
		if err := os.Chown(path, -1, a.Group); err != nil {
			return err
		}
	}
	return os.Chmod(path, a.Mode)
}

// CheckSocket says why no socket can stand at a path; nil: it can, as far as one can see.
func CheckSocket(path string) error {
	_, err := free(filepath.Clean(path))
	return err
}

// AdoptSocket takes over a listener whose socket the process before has made at a path.
// The two share it, so only the one that is left may Close what this returns.
func AdoptSocket(path string, listener net.Listener, access SocketAccess) (*Socket, error) {
	s := &Socket{Listener: listener, path: filepath.Clean(path)}
	err := access.give(s.path)
	if err == nil {
		s.placed, err = os.Lstat(s.path)
	}
	if err != nil {
		return nil, errors.Join(smallfile.ExplainWrite(path, err), listener.Close())
	}
	return s, nil
}

// A Socket is the listener of a unix socket that only this user may open. One that
// takes over stands aside until Publish.
type Socket struct {
	net.Listener
	path  string
	aside string // directory in which it waits for its place; empty: none

	mu     sync.Mutex
	placed os.FileInfo // guarded by mu: what stands at the path by us; nil: nothing
}

// Addr is the path.
func (s *Socket) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: s.path} }

// Close removes the socket, but not that of another process in its place.
func (s *Socket) Close() error {
	err := s.Listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.placed != nil {
		if now, other := os.Lstat(s.path); other == nil && os.SameFile(now, s.placed) {
			err = errors.Join(err, os.Remove(s.path))
		}
		s.placed = nil
	}
	s.clearLocked()
	return err
}

// clearLocked removes what stands aside.
func (s *Socket) clearLocked() {
	if s.aside != "" {
		os.RemoveAll(s.aside)
		s.aside = ""
	}
}

// free makes sure that the path is free, or has a socket at which nobody answers any
// more, and reports which.
func free(path string) (stale bool, err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, smallfile.Explain(path, err)
	case info.Mode()&fs.ModeSocket == 0:
		return false, fmt.Errorf("%s: %w", path, ErrNoSocket)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return false, fmt.Errorf("%s: %w", path, ErrAnswered)
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, errno.ConnectionRefused):
		return true, nil
	case errors.Is(err, fs.ErrPermission):
		return false, smallfile.Explain(path, err)
	}
	return false, fmt.Errorf("%s: %w (%w)", path, ErrAnswered, err) // busy, which is a sign of life
}

// makeRoom makes the directory of a socket and looks at its path.
func makeRoom(path string, longest int) error {
	if longest > mostPath {
		return fmt.Errorf("%s: %w: it has %d bytes, and %d are possible", path, ErrTooLong, len(path), mostPath-(longest-len(path)))
	}
	return smallfile.MakeDir(filepath.Dir(path))
}
