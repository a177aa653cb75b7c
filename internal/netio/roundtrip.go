package netio

import (
	"net"
	"syscall"
	"time"
)

// RoundTrip returns how long a segment of TCP and its answer take to the other end of c
// and back, as the kernel has measured it lately. 0: c is not one of the kernel's TCP
// connections, or this system does not tell. It is a system call.
func RoundTrip(c net.Conn) time.Duration {
	c, _ = bare(c)
	switch c := c.(type) {
	case interface{ RoundTrip() time.Duration }:
		return c.RoundTrip()
	case syscall.Conn:
		if raw, err := c.SyscallConn(); err == nil {
			return roundTrip(raw)
		}
	}
	return 0
}

func (s *blocking) RoundTrip() time.Duration { return RoundTrip(s.conn) }
