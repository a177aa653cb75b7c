//go:build unix && !solaris && !illumos && !aix

package smallfile

import (
	"os"
	"syscall"
)

func lock(path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, ModeSecret)
	if err != nil {
		return nil, err
	}
	if err := giveToDirectory(f); err != nil {
		f.Close()
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			break
		}
	}
	switch err {
	case nil:
		return func() { f.Close() }, nil // which unlocks it
	case syscall.EWOULDBLOCK:
		err = ErrLocked
	default:
		err = &os.PathError{Op: "lock", Path: path, Err: err}
	}
	f.Close()
	return nil, err
}
