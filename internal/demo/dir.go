package demo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/meshkey"
)

// A state is the directory where a demo has its keys and certificates, and its map
// if that has no other place.
type state struct {
	dir       string // absolute
	temporary bool
}

// openState makes the directory, a temporary one if it has no name. Only this user
// can look into it.
func openState(dir string) (s state, err error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return s, &config.Error{Setting: "state-dir", Err: err, Failed: true}
		}
		return state{dir: dir}, nil
	}
	parent, err := filepath.Abs(os.TempDir())
	if err != nil {
		return s, err
	}
	dir, err = os.MkdirTemp(parent, "detour-demo-")
	return state{dir: dir, temporary: true}, err
}

// meshKeyFile returns the file with the mesh key that all regions of the demo
// have, which is made if it is not there.
func (s state) meshKeyFile() (path string, err error) {
	path = filepath.Join(s.dir, "mesh.key")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	return path, meshkey.Create(path, meshkey.New())
}

// relayDir is the state directory of one relay.
func (s state) relayDir(node string) string { return filepath.Join(s.dir, node) }

func (s state) mapFile() string { return filepath.Join(s.dir, "derpmap.json") }

// close removes the directory if it was made for this demo only.
func (s state) close() error {
	if !s.temporary {
		return nil
	}
	return os.RemoveAll(s.dir)
}
