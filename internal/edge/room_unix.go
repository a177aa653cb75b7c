//go:build unix

package edge

import (
	"errors"
	"math"
	"syscall"
)

// descriptors returns how many descriptors the process may have; 0 if that is
// unknown or without a limit.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return 0
	}
	return int(limit.Cur)
}

// isOutOfDescriptors reports whether accepting failed because the process or the
// machine has no descriptor left.
func isOutOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
