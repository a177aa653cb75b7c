package quota

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/detour-relay/detour/internal/smallfile"
)

// mostBytes is more than any count takes.
const mostBytes = 16 << 10

// A store is the file of a count. An empty path is none.
type store struct{ path string }

// parse reads a count as it is on disk.
func parse(text []byte) (count, error) {
	var c count
	if err := json.Unmarshal(text, &c); err != nil {
		return c, err
	}
	const most = 1<<63 - 1
	switch {
	case c.Version != version:
		return c, fmt.Errorf("it is of version %d, and this program knows version %d", c.Version, version)
	case c.Day < 1 || c.Day > 28 || c.In > most || c.Out > most || c.ToldSoft < 0 || c.ToldHard < 0:
		return c, errors.New("it has a number that cannot be")
	case c.Month.Year() < 1969 || c.Month.Year() > 9000 || len(c.Begun) > remembered:
		return c, errors.New("it has a time that cannot be")
	}
	return c, nil
}

// errStays: the file cannot be read now, which may be the system's fault and pass: too
// many open files, a disk that fails.
var errStays = errors.New("the file stays as it is")

// read returns what is on disk; nil: nothing is. What cannot be used is kept aside,
// and the error says so. It is errStays if that is not known.
func (s store) read() (*count, error) {
	if s.path == "" {
		return nil, nil
	}
	text, err := smallfile.Read(s.path, mostBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if _, system := errors.AsType[*fs.PathError](err); system {
		return nil, fmt.Errorf("%w; %w", err, errStays)
	}
	var c count
	if err == nil {
		if c, err = parse(text); err == nil {
			return &c, nil
		}
		err = fmt.Errorf("%s has no count: %w", s.path, err)
	}
	aside := s.path + ".unreadable"
	if moved := os.Rename(s.path, aside); moved != nil {
		return nil, fmt.Errorf("%w; it cannot be kept aside either: %w", err, moved)
	}
	return nil, fmt.Errorf("%w; it is kept as %s", err, aside)
}

// add writes what this process has counted since it last looked to what is on disk,
// and returns both together. Garbled tells of a file that could not be used. If err
// is not nil nothing was written, and the delta is still to be added.
func (s store) add(mine count, delta Usage) (both count, garbled, err error) {
	both = mine.plus(delta)
	if s.path == "" {
		return both, nil, nil
	}
	if err := smallfile.MakeDir(filepath.Dir(s.path)); err != nil {
		return mine, nil, err
	}
	unlock := s.lock()
	defer unlock()
	disk, garbled := s.read()
	if errors.Is(garbled, errStays) {
		return mine, nil, garbled
	}
	if disk != nil {
		both = join(*disk, mine, delta)
	}
	text, err := json.MarshalIndent(both, "", "  ")
	if err != nil {
		return mine, garbled, err
	}
	return both, garbled, smallfile.WriteOver(s.path, append(text, '\n'), smallfile.ModeSecret)
}
