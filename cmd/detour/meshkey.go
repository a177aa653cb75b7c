package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/detour-relay/detour/key"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The environment variables that hold a mesh key, first match wins. The second
// is the one that derper reads.
var meshKeyVariables = []string{"DETOUR_MESH_KEY", "TAILSCALE_DERPER_MESH_KEY"}

// maxMeshKeys bounds the keys of one file. A rotation needs two.
const maxMeshKeys = 4

// A meshKeyFlag says where the mesh key comes from.
type meshKeyFlag struct {
	file string
}

func (f *meshKeyFlag) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "mesh-psk-file", "", "`file` with the mesh keys of the region, one a line: the first is used, all are accepted (default $"+
		strings.Join(meshKeyVariables, ", else $")+")")
}

// load returns the mesh keys and where they come from; none if nothing says so.
func (f *meshKeyFlag) load() (keys []key.Mesh, from string, err error) {
	if f.file != "" {
		text, err := os.ReadFile(f.file)
		if err != nil {
			return nil, "", fmt.Errorf("mesh key file: %w", err) // names the path already
		}
		keys, err = parseMeshKeys(string(text))
		if err != nil {
			return nil, "", fmt.Errorf("mesh key file %s: %w", f.file, err)
		}
		return keys, f.file, nil
	}
	for _, name := range meshKeyVariables {
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

// openToOthers reports whether every user of this machine can read the mesh key.
func (f *meshKeyFlag) openToOthers() bool {
	if f.file == "" {
		return false
	}
	info, err := os.Stat(f.file)
	return err == nil && worldReadable(info.Mode())
}

// newMeshKey makes a mesh key from the system's randomness.
func newMeshKey() (key.Mesh, error) {
	var raw [key.Len]byte
	rand.Read(raw[:]) // never fails
	return key.ParseMesh(hex.EncodeToString(raw[:]))
}

func newKeyMeshCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "mesh",
		Short: "Make a mesh key, which the relays of a region share",
		Long: `Make a mesh key, which the relays of a region share.

With --out the key goes into a new file that only you can read. Without, it is
printed: keep it secret. Whoever has it can read the addresses of all peers and
send packets in their name.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := newMeshKey()
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("out") {
				return createMeshKeyFile(out, k)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), k.Text())
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "write the key to this new `file`")
	return cmd
}

func createMeshKeyFile(path string, k key.Mesh) error {
	if path == "" {
		return usagef("--out: the file name is empty: name the file to create")
	}
	err := key.WriteNew(path, []byte(k.Text()+"\n"), key.ModeSecret)
	if errors.Is(err, fs.ErrExist) {
		return existsError(path)
	}
	if err != nil {
		return fmt.Errorf("mesh key file: %w", err)
	}
	return nil
}
