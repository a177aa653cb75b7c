package membercmd

import (
	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/tailnet"
)

// Flags are those of who becomes a member, for commands of other rooms.
type Flags struct{ joinFlags }

// Add gives a command the flags.
func (f *Flags) Add(cmd *cobra.Command) { f.add(cmd) }

// JSON reports whether lines are for programs.
func (f *Flags) JSON() bool { return f.asJSON }

// CA is the file with authorities that was given.
func (f *Flags) CA() string { return f.ca }

// Config is how the member is to be opened, with the invite that the arguments have, if
// they do. Where no state file is named it is the usual one.
func (f *Flags) Config(cmd *cobra.Command, args []string, usual string) (tailnet.Config, error) {
	if f.state == "" {
		f.state = usual
	}
	return f.config(cmd, args)
}

// ExplainOpen says of a member that could not be opened by a command what to do, and ends
// the program as that asks for.
func ExplainOpen(command string, err error) error { return explainOpen(command, err) }

// ExplainRemoved says what who was removed can do.
func ExplainRemoved(command, stateFile string) error { return explainRemoved(command, stateFile) }
