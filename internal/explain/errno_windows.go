package explain

import (
	"maps"
	"syscall"

	"golang.org/x/sys/windows"
)

// systemCauses has Windows' own numbers beside those that Go made up for it.
var systemCauses = func() map[syscall.Errno]Finding {
	all := maps.Clone(sharedCauses)
	for own, shared := range map[syscall.Errno]syscall.Errno{
		windows.WSAECONNREFUSED: syscall.ECONNREFUSED, windows.WSAECONNRESET: syscall.ECONNRESET,
		windows.WSAECONNABORTED: syscall.ECONNABORTED, windows.WSAETIMEDOUT: syscall.ETIMEDOUT,
		windows.WSAENETUNREACH: syscall.ENETUNREACH, windows.WSAENETDOWN: syscall.ENETDOWN,
		windows.WSAEHOSTUNREACH: syscall.EHOSTUNREACH, windows.WSAEMFILE: syscall.EMFILE,
		windows.WSAEACCES: syscall.EACCES, windows.WSAEADDRNOTAVAIL: syscall.EADDRNOTAVAIL,
		windows.WSAEADDRINUSE: syscall.EADDRINUSE, windows.WSAENOBUFS: syscall.ENOBUFS,
	} {
		all[own] = sharedCauses[shared]
	}
	return all
}()
