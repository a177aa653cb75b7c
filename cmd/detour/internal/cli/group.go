package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// NewGroup makes a command that only holds others: alone it prints its help, and a word it does not know is an
// error, not help with status 0.
func NewGroup(use, short string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		DisableFlagsInUseLine:      true,
		SuggestionsMinimumDistance: 2,
	}
	cmd.SetFlagErrorFunc(flagError)
	return cmd
}

// flagError is an error about a flag. Behind a command that a group does not have, any flag
// is unknown, and it is the command that is wrong.
func flagError(cmd *cobra.Command, err error) error {
	if words := cmd.Flags().Args(); len(words) > 0 && cmd.HasSubCommands() {
		return unknownCommand(cmd, words[0])
	}
	return err
}

func unknownCommand(cmd *cobra.Command, word string) error {
	text := fmt.Sprintf("unknown command %q for %q", word, cmd.CommandPath())
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		text += fmt.Sprintf(": did you mean %s?", strings.Join(near, " or "))
	}
	return Usagef("%s", text)
}
