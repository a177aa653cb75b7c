package smallfile

import (
	"errors"
	"fmt"
	"path/filepath"
)

// ErrLocked: another process, or another part of this one, holds the lock.
var ErrLocked = errors.New("it is in use by another process")

// Lock makes the file at path, if need be, and holds it until release is called or the
// process ends, however it ends. The file stays: who removed it would let others lock
// another one of that name. Lock a file beside the one that is meant, since writing that
// puts another in its place. One that root makes belongs to whom the directory belongs, so
// that a service can lock it afterwards. Solaris, illumos and AIX have no such lock: there it always
// succeeds.
func Lock(path string) (release func(), err error) {
	release, err = lock(path)
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err != nil {
		return nil, ExplainWrite(path, err)
	}
	return release, nil
}

// LockBeside makes the directory of a state file, if need be, and holds the lock beside it,
// so that this process alone has the file.
func LockBeside(path string) (release func(), err error) {
	if err := MakeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	release, err = Lock(path + ".lock")
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("state file %s: %w: end that one, or name another state file", path, ErrLocked)
	}
	return release, err
}
