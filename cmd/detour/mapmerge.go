package main

import (
	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/derpmap"
)

func newMapMergeCommand() *cobra.Command {
	var in mapInput
	var out mapOutput
	cmd := &cobra.Command{
		Use:   "merge MAP MAP...",
		Short: "Lay maps over each other",
		Long: `Lay maps over each other, the later ones over the earlier, as control servers do
with those that they have.

A region counts as a whole: that of a later map takes the place of the earlier
one, and null removes it. With omitDefaultRegions a later map removes all
regions before it.
` + mapHelp + `

Exit status: 0 written, 1 one is no map, or it cannot be written, 2 wrong
usage, 3 a map cannot be read or fetched.`,
		Example: `  detour map merge https://login.tailscale.com/derpmap/default ours.yaml --to json`,
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			all, form, err := in.loadAll(cmd, args)
			if err != nil {
				return err
			}
			return out.write(cmd, derpmap.Merge(all...), form)
		},
	}
	out.define(cmd, "default: by the name of --out, else as the first map")
	in.define(cmd)
	return cmd
}
