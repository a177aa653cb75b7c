//go:build !windows

package explain

var systemCauses = sharedCauses
