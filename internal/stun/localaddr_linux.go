package stun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// control has room for one control message with an in_pktinfo or in6_pktinfo.
type control [64]byte

// Where things are in a control message.
const (
	controlLevel = unix.SizeofCmsghdr - 8
	controlType  = unix.SizeofCmsghdr - 4

	linkIndexIPv4 = 0  // in struct in_pktinfo
	linkIndexIPv6 = 16 // in struct in6_pktinfo, behind the address
)

// askForLocalAddr makes the kernel tell with each datagram which local
// address it was sent to.
func askForLocalAddr(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("STUN: %w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		domain, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		switch {
		case err != nil:
			failed = err
		case domain == unix.AF_INET6: // also for IPv4, if the socket takes both
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		default:
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("STUN: asking for the local address of requests: %w", err)
	}
	return nil
}

// returnControl makes of the control message that came with a request, in the
// first n bytes of c, the one that sends the answer from the address that was
// asked, and returns its size; 0 if there is none.
//
// The same structure serves both ways, also on a dual-stack socket, where
// IPv4 addresses stand in it in their IPv6-mapped form. Only the interface is
// taken out, so that the answer takes the route that the system would choose;
// addresses of one link need it.
func returnControl(c *control, n int) int {
	if n < unix.CmsgLen(0) || n > len(c) {
		return 0
	}
	level, kind := binary.NativeEndian.Uint32(c[controlLevel:]), binary.NativeEndian.Uint32(c[controlType:])
	info := c[unix.CmsgLen(0):]
	switch {
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && n >= unix.CmsgLen(unix.SizeofInet4Pktinfo):
		binary.NativeEndian.PutUint32(info[linkIndexIPv4:], 0)
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && n >= unix.CmsgLen(unix.SizeofInet6Pktinfo):
		if addr := netip.AddrFrom16([16]byte(info)); !addr.IsLinkLocalUnicast() || addr.Is4In6() {
			binary.NativeEndian.PutUint32(info[linkIndexIPv6:], 0)
		}
		return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
	}
	return 0
}
