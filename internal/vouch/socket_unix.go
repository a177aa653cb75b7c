//go:build unix

package vouch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"github.com/detour-relay/detour/internal/smallfile"
)

// me names the user of this process.
func me() string { return strconv.Itoa(os.Geteuid()) }

// explain says what is wrong with the socket.
func (l *Daemon) explain(err error) error {
	switch {
	case errors.Is(err, ErrSlow), errors.Is(err, context.DeadlineExceeded):
		return errors.New("the daemon takes the question and does not answer: restart tailscaled")
	case errors.Is(err, fs.ErrNotExist):
		if target, err := os.Readlink(l.socket); err == nil {
			return fmt.Errorf("there is no such socket, for it is a link to %s: name the daemon's socket", target)
		}
		return errors.New("there is no such socket: does tailscaled run here? In a container, mount the directory of its socket")
	case errors.Is(err, syscall.ECONNREFUSED):
		if info, err := os.Stat(l.socket); err == nil && info.Mode()&fs.ModeSocket == 0 {
			return errors.New("this is no socket: name the socket of tailscaled")
		}
		return errors.New("nobody listens behind the socket: tailscaled has ended; start it (in a container, mount the directory of the socket, not the socket itself)")
	case errors.Is(err, fs.ErrPermission):
		return l.refused(err)
	case errors.Is(err, syscall.EPROTOTYPE):
		return errors.New("this is a socket of another kind: name the socket of tailscaled")
	}
	return err
}

// refused names who may use the socket.
func (l *Daemon) refused(err error) error {
	info, statErr := os.Stat(l.socket)
	if statErr != nil { // a directory on the way
		return smallfile.Explain(l.socket, err)
	}
	who := ""
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		who = fmt.Sprintf(", owner %d, group %d", s.Uid, s.Gid)
	}
	return fmt.Errorf("user %s may not use the socket (%s%s): put the user into that group, or run the relay as that owner", me(), info.Mode(), who)
}
