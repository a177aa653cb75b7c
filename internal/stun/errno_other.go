//go:build !windows

package stun

import "syscall"

// What bind says.
const (
	addressInUse        = syscall.EADDRINUSE
	addressNotAvailable = syscall.EADDRNOTAVAIL
)
