package coordnats

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/detour-relay/detour/internal/smallfile"
)

// ErrInUse is beneath the error of a directory that another process uses. Who takes
// over from that process waits until it has ended.
var ErrInUse = errors.New("another process uses it: one directory is one coordinator's")

// ErrAddress is beneath the error of a cluster's address that cannot be listened on.
var ErrAddress = errors.New("the address where the others of the cluster reach this one cannot be taken")

// A directory is where an embedded server keeps all, ours until close. The system
// takes the lock from a process that was killed.
type directory struct {
	path string
	held *os.File
	ends int  // without saying so
	used bool // the buckets have been in it
}

func openDirectory(path, kind string) (*directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, smallfile.ExplainWrite(path, err)
	}
	file := filepath.Join(path, "lock")
	held, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, smallfile.ExplainWrite(file, err)
	}
	d := &directory{path: path, held: held}
	if err := lock(held); err != nil {
		held.Close()
		return nil, fmt.Errorf("%s cannot be locked: %w", path, err)
	}
	err = d.claim(kind)
	if err == nil {
		err = d.age()
	}
	if _, missing := os.Stat(d.usedPath()); missing == nil {
		d.used = true
	}
	if err != nil {
		held.Close()
		return nil, err
	}
	return d, nil
}

// claim writes down which kind of engine the directory has, and refuses another: a
// server alone and a server of a cluster do not find each other's state.
func (d *directory) claim(kind string) error {
	path := filepath.Join(d.path, "kind")
	was, err := smallfile.Read(path, 1<<10)
	if errors.Is(err, os.ErrNotExist) {
		return smallfile.WriteNew(path, []byte(kind+"\n"), 0o600)
	}
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(string(was)); got != kind {
		return fmt.Errorf("%s has the state of %s, not of %s: export it there, begin with an empty directory, and import it", d.path, got, kind)
	}
	return nil
}

func (d *directory) data() string { return filepath.Join(d.path, "nats") }

// age is how often the server ended without saying so: what it had not written out by
// then is lost from the buckets that are not synced, and their revisions are given
// again. From now until leave it counts as such an end.
func (d *directory) age() error {
	path := filepath.Join(d.path, "ends")
	text, err := smallfile.Read(path, 1<<10)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	ends, clean := 0, len(text) == 0
	if !clean {
		how := ""
		if _, err := fmt.Sscanf(string(text), "%d %s", &ends, &how); err != nil {
			return fmt.Errorf("%s is damaged (%w): remove it, together with what is beside it", path, err)
		}
		clean = how == "clean"
	}
	if !clean {
		ends++
	}
	d.ends = ends
	return smallfile.WriteOver(path, fmt.Appendf(nil, "%d running\n", ends), 0o600)
}

// leave is for when all has been written out.
func (d *directory) leave() error {
	return smallfile.WriteOver(filepath.Join(d.path, "ends"), fmt.Appendf(nil, "%d clean\n", d.ends), 0o600)
}

// use notes that the buckets are there.
func (d *directory) use() error {
	if d.used {
		return nil
	}
	d.used = true
	return smallfile.WriteOver(d.usedPath(), []byte("the buckets have been made\n"), 0o600)
}

func (d *directory) usedPath() string { return filepath.Join(d.path, "used") }

func (d *directory) close() { d.held.Close() }
