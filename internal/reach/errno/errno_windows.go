package errno

import "golang.org/x/sys/windows"

// Windows has its own numbers for them.
const (
	AddressInUse        = windows.WSAEADDRINUSE
	AddressNotAvailable = windows.WSAEADDRNOTAVAIL
	ConnectionRefused   = windows.WSAECONNREFUSED
	ConnectionReset     = windows.WSAECONNRESET
	AccessDenied        = windows.WSAEACCES
	TooManyFiles        = windows.WSAEMFILE
)
