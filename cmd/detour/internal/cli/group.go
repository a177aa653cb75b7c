package cli

import "github.com/spf13/cobra"

// NewGroup makes a command that only holds others: alone it prints its help, and a word it does not know is an
// error, not help with status 0.
func NewGroup(use, short string) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		DisableFlagsInUseLine: true,
	}
}
