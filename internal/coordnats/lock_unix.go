//go:build unix && !solaris && !illumos && !aix

package coordnats

import (
	"os"
	"syscall"
)

// lock keeps a file for this process until it is closed, or says that another has it.
func lock(f *os.File) error {
	err := syscall.EINTR
	for err == syscall.EINTR {
		err, _ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB).(syscall.Errno)
	}
	switch err {
	case 0:
		return nil
	case syscall.EWOULDBLOCK:
		return ErrInUse
	}
	return err
}
