//go:build !linux

package mesh

import (
	"syscall"
	"time"
)

// setUserTimeout does nothing: only Linux has such a timeout.
func setUserTimeout(syscall.RawConn, time.Duration) error { return nil }
