//go:build unix

package control

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/detour-relay/detour/internal/smallfile"
)

// The socket is bound as ".admXXXX/s" beside its place: in a directory that nobody
// else may enter, so that no umask and no moment gives it to others.
const (
	asidePrefix = ".adm"
	asideDigits = 4
	asideName   = "s"
	asideLength = len(asidePrefix) + asideDigits + len("/") + len(asideName) // no longer than SocketName
)

// ListenSocket makes a socket that appears at the path with mode 0600. One that is
// left over is replaced; where another process answers, the error is ErrAnswered.
//
// With takesOver the process before may still answer there: the socket appears with
// Publish, and replaces that process's from one moment to the next.
func ListenSocket(path string, takesOver bool) (*Socket, error) {
	return listenSocket(path, takesOver, onlyUs)
}

// ListenShared is ListenSocket for those who have access.
func ListenShared(path string, access SocketAccess) (*Socket, error) {
	return listenSocket(path, false, access)
}

func listenSocket(path string, takesOver bool, access SocketAccess) (*Socket, error) {
	path = filepath.Clean(path)
	dir := filepath.Dir(path)
	if err := makeRoom(path, max(len(path), len(filepath.Join(dir, "x"))-1+asideLength)); err != nil {
		return nil, err
	}
	if !takesOver {
		if _, err := free(path); err != nil {
			return nil, err
		}
		sweepAside(dir)
	}
	s, err := bindAside(path, dir, access)
	if err != nil || takesOver {
		return s, err
	}
	if err := s.takePlace(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func bindAside(path, dir string, access SocketAccess) (*Socket, error) {
	aside := filepath.Join(dir, asidePrefix+rand.Text()[:asideDigits])
	if err := os.Mkdir(aside, 0o700); err != nil {
		return nil, smallfile.ExplainWrite(path, err)
	}
	at := filepath.Join(aside, asideName)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: at})
	if err == nil {
		listener.SetUnlinkOnClose(false)
		err = access.give(at)
	}
	if err != nil {
		if listener != nil {
			listener.Close()
		}
		return nil, errors.Join(smallfile.ExplainWrite(path, err), os.RemoveAll(aside))
	}
	return &Socket{Listener: listener, path: path, aside: aside}, nil
}

// takePlace gives the socket its path, unless another process came first.
func (s *Socket) takePlace() error {
	for range 3 { // times that somebody else may have been faster
		stale, err := free(s.path)
		if err != nil {
			return err
		}
		if stale {
			return s.Publish()
		}
		err = os.Link(filepath.Join(s.aside, asideName), s.path) // fails if there is one
		if err == nil {
			return s.settle()
		}
		if !errors.Is(err, fs.ErrExist) {
			return s.Publish() // a file system without links
		}
	}
	return fmt.Errorf("%s: %w", s.path, ErrAnswered)
}

// Publish gives the socket its path, whatever stands there.
func (s *Socket) Publish() error {
	if err := os.Rename(filepath.Join(s.aside, asideName), s.path); err != nil {
		return smallfile.ExplainWrite(s.path, err)
	}
	return s.settle()
}

// settle notes what stands at the path now.
func (s *Socket) settle() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.placed, err = os.Lstat(s.path)
	s.clearLocked()
	return err
}

// startTime is longer than a process takes to make a socket. A younger one may be that of
// another process that starts just now, beside the same directory.
const startTime = time.Minute

// sweepAside removes what processes have left that were killed while they started.
func sweepAside(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, asidePrefix+"????"))
	for _, aside := range left {
		if info, err := os.Lstat(aside); err != nil || time.Since(info.ModTime()) < startTime {
			continue
		}
		if stale, err := free(filepath.Join(aside, asideName)); err == nil && stale {
			os.RemoveAll(aside)
		}
	}
}
