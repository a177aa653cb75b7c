//go:build unix && !solaris && !illumos && !aix

package quota

import (
	"os"
	"syscall"
)

// lock keeps other processes from the file until the result is called. Where there
// can be no lock the file cannot be written either, or the system has none.
func (s store) lock() (unlock func()) {
	f, err := os.OpenFile(s.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return func() {}
	}
	for syscall.Flock(int(f.Fd()), syscall.LOCK_EX) == syscall.EINTR {
	}
	return func() { f.Close() } // which unlocks it
}
