package netwatch

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// groups are what the kernel is to tell of: interfaces, addresses, routes.
const groups = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1) |
	1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV6_ROUTE-1)

// subscribe has a channel with room for one filled when the kernel tells something, until
// ctx is done; what it tells is not read. ended is closed when all is over. Where there is
// no such socket, nothing comes.
func subscribe(ctx context.Context) (events <-chan struct{}, ended <-chan struct{}) {
	told, over := make(chan struct{}, 1), make(chan struct{})
	socket, err := open()
	if err != nil {
		close(over)
		return told, over
	}
	context.AfterFunc(ctx, func() { socket.Close() })
	go func() {
		defer close(over)
		buf := make([]byte, 4096)
		for {
			_, err := socket.Read(buf)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil && !errors.Is(err, unix.ENOBUFS) { // this one says that more came than there was room for
				time.Sleep(time.Second)
			}
			select {
			case told <- struct{}{}:
			default:
			}
		}
	}()
	return told, over
}

func open() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// defaultRoutes are those of IPv4: interface, destination and gateway. With IPv6, another
// network gives another address.
func defaultRoutes() (lines []string) {
	text, _ := os.ReadFile("/proc/net/route")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" {
			lines = append(lines, strings.Join(f[:3], " "))
		}
	}
	slices.Sort(lines)
	return lines
}
