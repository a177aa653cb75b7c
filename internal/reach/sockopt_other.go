//go:build !linux

package reach

import (
	"syscall"
	"time"
)

// SetUserTimeout does nothing: only Linux has such a timeout.
func SetUserTimeout(syscall.RawConn, time.Duration) error { return nil }
