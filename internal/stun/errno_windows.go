package stun

import "golang.org/x/sys/windows"

// What bind says: Windows has its own numbers for it.
const (
	addressInUse        = windows.WSAEADDRINUSE
	addressNotAvailable = windows.WSAEADDRNOTAVAIL
)
