package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/key"
)

// MeshKeyVariables are the environment variables that hold a mesh key, first match wins. The second
// is the one that derper reads.
var MeshKeyVariables = []string{"DETOUR_MESH_KEY", "TAILSCALE_DERPER_MESH_KEY"}

// maxMeshKeys bounds the keys of one file. A rotation needs two.
const maxMeshKeys = 4

// MeshKeyFlag says where the mesh key comes from.
type MeshKeyFlag struct {
	File string
}

// Add defines the flag.
func (f *MeshKeyFlag) Add(flags *pflag.FlagSet) {
	flags.StringVar(&f.File, "mesh-psk-file", "", "`file` with the mesh keys of the region, one a line: the first is used, all are accepted (default $"+
		strings.Join(MeshKeyVariables, ", else $")+")")
}

// Load returns the mesh keys and where they come from; none if nothing says so.
func (f *MeshKeyFlag) Load() (keys []key.Mesh, from string, err error) {
	if f.File != "" {
		text, err := os.ReadFile(f.File)
		if err != nil {
			return nil, "", fmt.Errorf("mesh key file: %w", err) // names the path already
		}
		keys, err = parseMeshKeys(string(text))
		if err != nil {
			return nil, "", fmt.Errorf("mesh key file %s: %w", f.File, err)
		}
		return keys, f.File, nil
	}
	for _, name := range MeshKeyVariables {
		if text := os.Getenv(name); text != "" {
			if keys, err = parseMeshKeys(text); err != nil {
				return nil, "", fmt.Errorf("$%s: %w", name, err)
			}
			return keys, "$" + name, nil
		}
	}
	return nil, "", nil
}

// parseMeshKeys reads one key a line. Errors never repeat what stands there.
func parseMeshKeys(text string) (keys []key.Mesh, err error) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		k, err := key.ParseMesh(line)
		if err == nil && k.IsZero() {
			err = errors.New("all zeros mean no mesh key")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(keys) == maxMeshKeys {
			return nil, fmt.Errorf("line %d: more than %d keys: remove those that no relay uses any more", n, maxMeshKeys)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New(`no key in it: make one with "detour key mesh"`)
	}
	return keys, nil
}

// OpenToOthers reports whether every user of this machine can read the mesh key.
func (f *MeshKeyFlag) OpenToOthers() bool {
	if f.File == "" {
		return false
	}
	info, err := os.Stat(f.File)
	return err == nil && worldReadable(info.Mode())
}
