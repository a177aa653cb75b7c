package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/key"
)

// MeshKeyVariables are the environment variables that hold a mesh key, first match wins. The second
// is the one that derper reads.
var MeshKeyVariables = []string{"DETOUR_MESH_KEY", "TAILSCALE_DERPER_MESH_KEY"}

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
		keys, err = key.LoadMeshFile(f.File)
		return keys, f.File, err
	}
	for _, name := range MeshKeyVariables {
		if text := os.Getenv(name); text != "" {
			if keys, err = key.ParseMeshFile([]byte(text)); err != nil {
				return nil, "", fmt.Errorf("$%s: %w", name, err)
			}
			return keys, "$" + name, nil
		}
	}
	return nil, "", nil
}

// OpenToOthers reports whether every user of this machine can read the mesh key.
func (f *MeshKeyFlag) OpenToOthers() bool { return f.File != "" && smallfile.OpenToOthers(f.File) }
