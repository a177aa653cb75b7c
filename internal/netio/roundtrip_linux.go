package netio

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func roundTrip(raw syscall.RawConn) (d time.Duration) {
	raw.Control(func(fd uintptr) { // fails if the socket is closed: then nobody knows
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			d = time.Duration(info.Rtt) * time.Microsecond
		}
	})
	return d
}
