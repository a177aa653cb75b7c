package sockmark

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// setMark is for policy routing (ip rule fwmark). It needs CAP_NET_ADMIN.
func setMark(c syscall.RawConn, mark uint32) (err error) {
	closed := c.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt SO_MARK", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)))
	})
	if closed != nil {
		return closed
	}
	return err
}
