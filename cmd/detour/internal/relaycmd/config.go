package relaycmd

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/config"
)

// NewConfig returns the command "detour config".
func NewConfig() *cobra.Command {
	cmd := cli.NewGroup("config", "Check, show and explain the settings of a relay")
	cmd.Long = `Settings come from flags, the environment (DETOUR_...) and one YAML file, in this order:
what is nearer to the command counts more. "detour config reference" has all there are.`
	cmd.AddCommand(newCheck(), newShow(), newReference())
	return cmd
}

func newReference() *cobra.Command {
	return &cobra.Command{
		Use:   "reference",
		Short: "Print a file with all settings and what they are for",
		Long: `Print a whole file of settings: each with what it is for, how it is called as flag
and variable, and its default or an example that is commented out.`,
		Example: `  detour config reference > relay.yaml
  detour config reference | detour config check -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), config.Reference(DefaultFile))
			return err
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

// defineHidden adds the relay's flags to a command that looks at what they mean. Its
// help leaves them to that of the relay.
func (f *settingFlags) defineHidden(cmd *cobra.Command) {
	f.define(cmd)
	for _, s := range config.Table() {
		cmd.Flags().Lookup(s.Flag).Hidden = true
	}
}
