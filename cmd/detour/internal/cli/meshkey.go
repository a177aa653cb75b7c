package cli

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/internal/meshkey"
	"github.com/detour-relay/detour/key"
)

// MeshKeyVariables are those of package meshkey.
var MeshKeyVariables = meshkey.Variables

// MeshKeyFlag says where the mesh key comes from.
type MeshKeyFlag struct {
	File string
}

// Add defines the flag.
func (f *MeshKeyFlag) Add(flags *pflag.FlagSet) {
	flags.StringVar(&f.File, "mesh-psk-file", "", "`file` with the mesh keys of the region, one a line: the first is used, all are accepted (default $"+
		strings.Join(meshkey.Variables, ", else $")+")")
}

// Load returns the mesh keys and where they come from; none if nothing says so.
func (f *MeshKeyFlag) Load() (keys []key.Mesh, from string, err error) {
	return meshkey.Load(f.File)
}
