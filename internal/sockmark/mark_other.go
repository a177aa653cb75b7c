//go:build !linux && !freebsd

package sockmark

import "syscall"

// setMark does nothing: the system has no marks, and no configuration that asks for one.
func setMark(syscall.RawConn, uint32) error { return nil }
