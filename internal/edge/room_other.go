//go:build !unix

package edge

// descriptors returns how many descriptors the process may have; 0 if that is
// unknown or without a limit.
func descriptors() int { return 0 }

// isOutOfDescriptors reports whether accepting failed because the process or the
// machine has no descriptor left.
func isOutOfDescriptors(error) bool { return false }
