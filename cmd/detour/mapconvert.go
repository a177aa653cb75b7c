package main

import (
	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
)

func newMapConvertCommand() *cobra.Command {
	var in mapInput
	var out mapOutput
	cmd := &cobra.Command{
		Use:   "convert MAP",
		Short: "Write a map in another form",
		Long: `Write a map in another form: json as clients and control servers have it, hujson
as the derpMap member of a Tailscale policy file, yaml as Headscale has it.

Fields that Detour does not know survive. Comments do not, and of a policy file
only the map does.
` + mapHelp + `

Exit status: 0 written, 1 this is no map, or it cannot be written, 2 wrong
usage, 3 the map cannot be read or fetched.`,
		Example: `  detour map convert derp.yaml --to json
  detour map convert https://login.tailscale.com/derpmap/default --out derp.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if out.form("") == "" {
				return cli.Usagef("--to is missing: choose json, hujson or yaml, or name a file with --out that ends in one of these")
			}
			m, _, err := in.load(cmd, args[0])
			if err != nil {
				return err
			}
			return out.write(cmd, m, "")
		},
	}
	out.define(cmd, "default: by the name of --out")
	in.define(cmd)
	return cmd
}
