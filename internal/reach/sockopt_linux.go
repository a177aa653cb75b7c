package reach

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SetUserTimeout makes the kernel end a connection whose sent bytes stay
// unacknowledged for so long; 0 or less: as long as the system has it. It is how peers
// that vanished are found.
func SetUserTimeout(c syscall.RawConn, d time.Duration) error {
	var err error
	ms := 0
	if d > 0 {
		ms = int(max(1, d.Milliseconds()))
	}
	ctlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms)
	})
	if ctlErr != nil {
		return ctlErr
	}
	if err != nil {
		return fmt.Errorf("setting TCP_USER_TIMEOUT to %v: %w", d, err)
	}
	return nil
}
