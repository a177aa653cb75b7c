//go:build !unix

package control

import (
	"errors"
	"net"
	"os"

	"github.com/detour-relay/detour/internal/smallfile"
)

// ListenSocket makes a socket at the path, for those whom the directory lets in. One
// that is left over is replaced; where another process answers, the error is
// ErrAnswered. No process takes over from another here.
func ListenSocket(path string, _ bool) (*Socket, error) {
	if err := makeRoom(path, len(path)); err != nil {
		return nil, err
	}
	stale, err := free(path)
	if stale {
		err = os.Remove(path)
	}
	if err != nil {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		return nil, smallfile.ExplainWrite(path, err)
	}
	listener.SetUnlinkOnClose(false)
	s := &Socket{Listener: listener, path: path}
	if s.placed, err = os.Lstat(path); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return s, nil
}

// ListenShared is ListenSocket: the system does not ask who has access.
func ListenShared(path string, _ SocketAccess) (*Socket, error) { return ListenSocket(path, false) }

// Publish does nothing: the socket has its place.
func (*Socket) Publish() error { return nil }
