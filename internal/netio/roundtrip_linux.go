package netio

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func roundTrip(raw syscall.RawConn) (d time.Duration) {
	raw.Control(func(fd uintptr) { d = roundTripOf(int(fd)) }) // fails if the socket is closed: then nobody knows
	return d
}

func roundTripOf(fd int) time.Duration {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return time.Duration(info.Rtt) * time.Microsecond
}

func (s *looped) roundTrip() time.Duration {
	s.descriptor.Lock()
	defer s.descriptor.Unlock()
	return roundTripOf(s.fd)
}
