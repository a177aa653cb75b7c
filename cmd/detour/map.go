package main

import (
	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/operate"
)

func newMapCommand() *cobra.Command {
	cmd := cli.NewGroup("map", "Check, convert, compare and serve DERP maps")
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
		operate.NewMapPin(),
	)
	return cmd
}
