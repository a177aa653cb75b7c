package sockmark

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// setMark is for ipfw, which calls it a cookie.
func setMark(c syscall.RawConn, mark uint32) (err error) {
	closed := c.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt SO_USER_COOKIE", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_USER_COOKIE, int(mark)))
	})
	if closed != nil {
		return closed
	}
	return err
}
