package operate

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/running"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/key"
)

// NewPeers returns the command "peers".
func NewPeers() *cobra.Command {
	cmd := cli.NewGroup("peers", "List and close the connections of a relay's peers")
	cmd.AddCommand(newPeersList(), newPeersClose())
	return cmd
}

// peersFlags are those of both ways to the relay: as its operator, or as a sibling.
type peersFlags struct {
	running.Target
	mesh rosterFlags
}

func (f *peersFlags) define(cmd *cobra.Command) {
	f.mesh.add(cmd.Flags())
	f.Target = newTarget()
	f.Add(cmd.Flags())
}

// meshOnly are the flags of who asks as a sibling.
var meshOnly = []string{"mesh-psk-file", "insecure", "ca", "cert-name"}

// local makes sure that no flag is for the other way.
func (f *peersFlags) local(cmd *cobra.Command, more ...string) error {
	return cli.Unused(cmd, "without a URL", append(more, meshOnly...)...)
}

func (f *peersFlags) remote() error {
	if f.Given() {
		return cli.Usagef("a URL is asked with the mesh key, and --admin-socket and --admin-url are another way: leave one out")
	}
	return nil
}

func isURL(text string) bool { return strings.Contains(text, "://") }

// closeHere closes the connections of keys at the relay of this machine.
func closeHere(cmd *cobra.Command, f *peersFlags, keys []key.Public) error {
	r, err := f.Open(cmd.Context())
	if err != nil {
		return err
	}
	defer r.Close()
	results, err := r.ClosePeers(cmd.Context(), keys)
	return printResults(cmd.OutOrStdout(), f.mesh.asJSON, results, r.Failed(err), closed)
}

func closed(c control.Result) string { return cli.Counted(c.Conns, "connection") + " closed" }
