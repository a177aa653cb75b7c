//go:build !windows

package errno

import "syscall"

// For errors.Is.
const (
	AddressInUse        = syscall.EADDRINUSE
	AddressNotAvailable = syscall.EADDRNOTAVAIL
	ConnectionRefused   = syscall.ECONNREFUSED
	ConnectionReset     = syscall.ECONNRESET
	AccessDenied        = syscall.EACCES
	TooManyFiles        = syscall.EMFILE
)
