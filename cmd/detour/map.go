package main

import (
	"github.com/spf13/cobra"
)

func newMapCommand() *cobra.Command {
	cmd := newGroup("map", "Check, convert, compare and serve DERP maps")
	cmd.Long = `Check, convert, compare and serve DERP maps: which regions a network has, which
relays are in each, and how clients reach them.

` + mapHelp
	cmd.AddCommand(
		newMapLintCommand(),
		newMapConvertCommand(),
		newMapMergeCommand(),
		newMapDiffCommand(),
		newMapOrderCommand(),
		newMapServeCommand(),
	)
	return cmd
}
