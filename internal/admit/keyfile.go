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

// emptied is a file that had keys and is empty now: more likely a pipe has broken than
// everybody is to leave.
func emptied(path string) error {
	return fmt.Errorf("%s is empty, and had keys before: if nobody is to come in by it, leave a line with a comment in it", path)
}
