//go:build !windows

package probe

import "syscall"

// What connecting says.
const (
	connectionRefused = syscall.ECONNREFUSED
	connectionReset   = syscall.ECONNRESET
)
