//go:build unix

package front

import "syscall"

// DescriptorLimit returns how many the process may have; 0: nobody says. The
// runtime has raised it to what the system allows.
func DescriptorLimit() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}
