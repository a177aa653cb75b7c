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

// A directory is where an embedded server keeps all, ours until close. The system
// takes the lock from a process that was killed.
type directory struct {
	path string
	held *os.File
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
	if err := d.claim(kind); err != nil {
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

func (d *directory) close() { d.held.Close() }
