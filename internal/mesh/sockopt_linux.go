package mesh

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout makes the kernel end a connection whose sent bytes stay
// unacknowledged for so long.
func setUserTimeout(c syscall.RawConn, d time.Duration) error {
	var err error
	if ctlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	}); ctlErr != nil {
		return ctlErr
	}
	if err != nil {
		return fmt.Errorf("setting TCP_USER_TIMEOUT to %v: %w", d, err)
	}
	return nil
}
