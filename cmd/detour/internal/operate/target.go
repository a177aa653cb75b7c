package operate

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/relaycmd"
	"github.com/detour-relay/detour/cmd/detour/internal/running"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/smallfile"
)

// socketVariable is that of the setting, so that one environment is enough.
const socketVariable = "DETOUR_ADMIN_SOCKET"

// newTarget says which running relay is meant.
func newTarget() running.Target {
	return running.Target{Kind: running.Kind{
		Who: "relay", Socket: "admin-socket", URL: "admin-url", Token: "admin-token", Prefix: "admin-", Variable: socketVariable, Sockets: sockets,
	}}
}

// asking runs a command without arguments with the relay that is meant.
func asking(t *running.Target, do func(cmd *cobra.Command, r *running.Server) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		r, err := t.Open(cmd.Context())
		if err != nil {
			return err
		}
		defer r.Close()
		return do(cmd, r)
	}
}

// sockets are where the relay may answer, the likeliest first, and what to do if it
// does not.
func sockets() (paths []string, hint string) {
	hint = "start it, or name its socket with --admin-socket, or its address with --admin-url"
	file := cmp.Or(os.Getenv(config.FileVariable), relaycmd.DefaultFile)
	switch path, err := configured(file); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		hint = "name its socket with --admin-socket, for the file of settings does not say where it is: " + err.Error()
	case path == "":
		hint = file + " says that there is no admin socket"
	default:
		paths = append(paths, path)
	}
	for _, dir := range daemon.StateDirs() {
		if path := filepath.Join(dir, control.SocketName); !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths, hint
}

// configured is where the file of settings has the socket; empty: nowhere. What is
// wrong in the file does not matter, if it says that all the same: the relay runs with
// what stood there before.
func configured(file string) (path string, err error) {
	contents, err := smallfile.Read(file, config.MostFile)
	if err != nil {
		return "", err
	}
	l := config.Load(config.Sources{File: file, Contents: contents})
	if l.Config.AdminSocket == "" && l.Config.StateDir == "" && l.Err() != nil {
		return "", l.Err()
	}
	return daemon.SocketPath(l.Config)
}
