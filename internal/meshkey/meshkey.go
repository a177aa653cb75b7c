// Package meshkey finds the mesh keys that the relays of a region share: in a file,
// or in the environment. Errors never repeat what stands there.
package meshkey

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/key"
)

// Variables are the environment variables that hold a mesh key, first match wins.
// The second is the one that derper reads.
var Variables = []string{"DETOUR_MESH_KEY", "TAILSCALE_DERPER_MESH_KEY"}

// Load returns the mesh keys of a file, or of the environment if it has no name,
// and where they come from; none if nothing says so.
func Load(file string) (keys []key.Mesh, from string, err error) {
	if file != "" {
		keys, err := key.LoadMeshFile(file)
		return keys, file, err
	}
	for _, name := range Variables {
		if value := os.Getenv(name); value != "" {
			if keys, err = key.ParseMeshFile([]byte(value)); err != nil {
				return nil, "", fmt.Errorf("$%s: %w", name, err)
			}
			return keys, "$" + name, nil
		}
	}
	return nil, "", nil
}

// OpenToOthers reports whether every user of this machine can read the file.
func OpenToOthers(file string) bool { return file != "" && smallfile.OpenToOthers(file) }

// New makes a mesh key from the system's randomness.
func New() key.Mesh {
	var raw [key.Len]byte
	rand.Read(raw[:]) // never fails
	k, err := key.ParseMesh(hex.EncodeToString(raw[:]))
	if err != nil {
		panic(err) // 64 hex digits are a key
	}
	return k
}

// Create writes a key into a new file that only this user can read.
func Create(path string, k key.Mesh) error {
	return smallfile.WriteNew(path, []byte(k.Text()+"\n"), smallfile.ModeSecret)
}
