package admit

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/smallfile"
)

// A keyFile is one file of Access.Keys as it was read last. It is not changed: what
// the file says later is another keyFile.
type keyFile struct {
	path   string
	set    keyset
	loaded time.Time
	read   stamp // of what was read
}

// openKeyFile reads a file, and logs what is odd about it.
func openKeyFile(path string, log *slog.Logger) (*keyFile, error) {
	read, err := stampOf(path) // before: what is written meanwhile is another state
	if err != nil {
		return nil, smallfile.Explain(path, err)
	}
	list, err := loadKeys(path)
	if err != nil {
		return nil, err
	}
	if len(list.warns) > 0 {
		log.Warn("a list of keys has some more than once", "file", path, "detail", strings.Join(list.warns, "; "), "more", list.more)
	}
	return &keyFile{path: path, set: list.set, loaded: time.Now(), read: read}, nil
}

const (
	// settles is how long a file has to stay as it is before a reload believes that keys
	// have left it: somebody may be in the middle of writing it. Of one that does not,
	// so many states are looked at.
	settles    = 250 * time.Millisecond
	mostStates = 12
)

// openAnew reads a file of which old is known, or nothing.
func openAnew(path string, old *keyFile, log *slog.Logger) (*keyFile, error) {
	for range mostStates {
		f, err := openKeyFile(path, log)
		if err != nil || old == nil || len(f.set.entries) >= len(old.set.entries) {
			return f, err
		}
		time.Sleep(settles)
		if now, err := stampOf(path); err == nil && now.same(f.read) {
			return f, f.emptied(old)
		}
	}
	return nil, fmt.Errorf("%s is being written: wait for the end of that, and reload again", path)
}

// A watched is a file that is looked at again and again. It is owned by who looks.
type watched struct {
	path string
	read stamp // what has been read, or was refused
	seen stamp // what was there at the last look
}

// changed reports whether there is something new to be read. A file is left alone
// while somebody writes it: it has to look the same twice. One that is away is told of
// at the second look, for it may be about to be replaced.
func (w *watched) changed() (bool, error) {
	now, err := stampOf(w.path)
	if err != nil {
		gone := w.seen.info == nil
		w.seen = stamp{}
		if !gone {
			return false, nil
		}
		w.read = stamp{}
		return false, smallfile.Explain(w.path, err)
	}
	settled := now.same(w.seen)
	w.seen = now
	if !settled || now.same(w.read) {
		return false, nil
	}
	w.read = now
	return true, nil
}

// emptied is the error of a file that had keys and is empty now: more likely a pipe
// has broken than everybody is to leave.
func (f *keyFile) emptied(before *keyFile) error {
	if f.read.size > 0 || len(f.set.entries) > 0 || len(before.set.entries) == 0 {
		return nil
	}
	return fmt.Errorf("%s is empty, and had keys before: if nobody is to come in by it, leave a line with a comment in it", f.path)
}
