package key

import (
	"errors"
	"fmt"
	"strings"

	"github.com/detour-relay/detour/internal/smallfile"
)

// mostMeshKeys bounds the keys of one file. A rotation needs two.
const mostMeshKeys = 4

const meshRemedy = `write the 64 hex digits that "detour key mesh" prints`

// LoadMeshFile reads the mesh keys of a file, see ParseMeshFile. The error names the path and what is wrong with the file.
func LoadMeshFile(path string) ([]Mesh, error) {
	data, err := smallfile.Read(path, mostBytes)
	if err != nil {
		return nil, fmt.Errorf("mesh key file: %w", err) // names the path already
	}
	keys, err := ParseMeshFile(data)
	if err != nil {
		return nil, fmt.Errorf("mesh key file %s: %w", path, err)
	}
	return keys, nil
}

// ParseMeshFile reads the content of a mesh key file or variable: one to four keys, one a line, the one in use first. Empty
// lines and lines that begin with # are left out, and what editors and people put around a key: white space, quotes, the
// name of a variable. Errors name the line and repeat nothing of it.
func ParseMeshFile(data []byte) (keys []Mesh, err error) {
	content, err := decode(data)
	if errors.Is(err, errEmpty) {
		return nil, errNoMeshKey
	}
	if err != nil {
		return nil, err
	}
	n := 1
	for line := range strings.Lines(content) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			k, err := parseMeshLine(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			if len(keys) == mostMeshKeys {
				return nil, fmt.Errorf("line %d: more than %d keys: remove those that no relay uses any more", n, mostMeshKeys)
			}
			keys = append(keys, k)
		}
		n++
	}
	if len(keys) == 0 {
		return nil, errNoMeshKey
	}
	return keys, nil
}

var errNoMeshKey = errors.New(`no key in it: make one with "detour key mesh"`)

func parseMeshLine(line string) (Mesh, error) {
	bare := unwrap(line)
	k, err := ParseMesh(bare)
	switch {
	case err == nil && k.IsZero():
		return Mesh{}, errors.New("all zeros mean no mesh key: " + meshRemedy)
	case err == nil:
		return k, nil
	}
	if what := foreign(bare); what != "" {
		return Mesh{}, fmt.Errorf("%s, no mesh key: %s", what, meshRemedy)
	}
	if stray := strayIn(bare); stray != nil {
		return Mesh{}, stray
	}
	return Mesh{}, fmt.Errorf("%w: %s", err, meshRemedy)
}
