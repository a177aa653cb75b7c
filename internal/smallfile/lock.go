package smallfile

import (
	"errors"
	"fmt"
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
