package cli

import "github.com/spf13/cobra"

// Unused refuses flags that were given and would have no effect; why says so, such as "with --pairs 0".
func Unused(cmd *cobra.Command, why string, flags ...string) error {
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			return Usagef("--%s has no effect %s: leave it out", name, why)
		}
	}
	return nil
}

// Complete makes the shell complete a flag that has been defined.
func Complete(cmd *cobra.Command, flag string, choices ...string) {
	complete := cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // there is no such flag
	}
}
