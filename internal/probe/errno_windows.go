package probe

import "golang.org/x/sys/windows"

// What connecting says: Windows has its own numbers for it.
const (
	connectionRefused = windows.WSAECONNREFUSED
	connectionReset   = windows.WSAECONNRESET
)
