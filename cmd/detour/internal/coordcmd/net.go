package coordcmd

import (
	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
)

// NewNet returns the command "detour net".
func NewNet() *cobra.Command {
	cmd := cli.NewGroup("net", "Look after the tailnets of a coordinator: who is a member, and who may become one")
	cmd.Long = `Look after the tailnets of a coordinator ("detour coord"): make them, invite members,
and see and change who is one.

A coordinator of this machine is found by itself, at its admin socket. One elsewhere
is asked with --coord, at the address of its --admin-https, and --token-file.`
	cmd.Example = `  detour net create home
  detour net invite home
  detour net members home`
	cmd.AddCommand(
		newCreate(), newList(), newShow(), newInvite(), newInvites(), newWithdraw(), newMembers(), newRemove(),
		newDisable(), newEnable(), newRename(), newDelete(), newMap(), newRelay(), newExport(), newImport(), newStatus(),
	)
	return cmd
}

// exits is the end of the help of all of them.
const exits = `

Exit status: 0 done, 1 refused, 2 wrong usage, 3 no coordinator could be asked.`
