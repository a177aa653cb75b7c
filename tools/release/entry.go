package main

import (
	"os"
	"path"
	"path/filepath"
	"strings"
)

// An entry is a file of what is handed out.
type entry struct {
	path string // with slashes
	mode int64
	data []byte
}

// readDir are the files of a directory, in the order of their names, as entries below a path.
func readDir(dir, below string) (all []entry, err error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range names {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, entry{path.Join(below, f.Name()), 0o644, data})
	}
	return all, nil
}

// tracked are the files of a directory of the source that git knows.
func (s source) tracked(paths ...string) (all []entry, err error) {
	names, err := s.git(append([]string{"ls-files", "-z", "--"}, paths...)...)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.Trim(names, "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return nil, err
		}
		all = append(all, entry{name, 0o644, data})
	}
	return all, nil
}

// find returns the entry at a path.
func find(all []entry, path string) ([]byte, bool) {
	for _, e := range all {
		if e.path == path {
			return e.data, true
		}
	}
	return nil, false
}
