package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/detour-relay/detour/internal/meshkey"
)

// A demoState is the directory where a demo has its keys and certificates, and
// its map if that has no other place.
type demoState struct {
	dir       string // absolute
	temporary bool
}

// openDemoState makes the directory, a temporary one if it has no name. Only this
// user can look into it.
func openDemoState(dir string) (s demoState, err error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return s, fmt.Errorf("--state-dir: %w", err)
		}
		return demoState{dir: dir}, nil
	}
	parent, err := filepath.Abs(os.TempDir())
	if err != nil {
		return s, err
	}
	dir, err = os.MkdirTemp(parent, "detour-demo-")
	return demoState{dir: dir, temporary: true}, err
}

// meshKeyFile returns the file with the mesh key that all regions of the demo
// have, which is made if it is not there.
func (s demoState) meshKeyFile() (path string, err error) {
	path = filepath.Join(s.dir, "mesh.key")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	return path, createMeshKeyFile(path, meshkey.New())
}

// relayDir is the state directory of one relay, which the relay makes.
func (s demoState) relayDir(node string) string { return filepath.Join(s.dir, node) }

func (s demoState) mapFile() string { return filepath.Join(s.dir, "derpmap.json") }

// close removes the directory if it was made for this demo only.
func (s demoState) close() error {
	if !s.temporary {
		return nil
	}
	return os.RemoveAll(s.dir)
}
