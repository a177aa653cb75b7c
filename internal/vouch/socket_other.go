//go:build !unix

package vouch

import (
	"errors"
	"fmt"
	"io/fs"
)

func me() string { return "of this process" }

// explain says what is wrong with the socket.
func (l *Daemon) explain(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no such socket: does tailscaled run here with --socket? (%w)", err)
	}
	return err
}
