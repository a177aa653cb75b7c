package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
)

func newMapDiffCommand() *cobra.Command {
	var in mapInput
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say how two maps differ",
		Long: `Say how two maps differ, a line for each change. How they are written down does
not matter, only what they say: their forms may be different ones. A region that
is null counts as one that is not there.
` + mapHelp + `

Exit status: 0 they are the same, 1 they differ, 2 wrong usage, 3 one cannot be
read or fetched, or is no map.`,
		Example: `  detour map diff derp.yaml http://127.0.0.1:8080/derpmap.json`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			changes, err := diffMaps(cmd, &in, args)
			if err != nil {
				return err
			}
			if err := printChanges(cmd.OutOrStdout(), changes, asJSON); err != nil || len(changes) == 0 {
				return err
			}
			return cli.SaidBad()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: a list of the changes")
	in.define(cmd)
	return cmd
}

// diffMaps compares two maps. Whatever goes wrong, they could not be compared.
func diffMaps(cmd *cobra.Command, in *mapInput, names []string) ([]derpmap.Change, error) {
	both, _, err := in.loadAll(cmd, names)
	if cli.ExitStatus(err) == cli.ExitUsage {
		return nil, err
	}
	if err != nil {
		return nil, cli.Unansweredf("%w", err)
	}
	changes, err := derpmap.Diff(both[0], both[1])
	if err != nil {
		return nil, cli.Unansweredf("%w", err)
	}
	return changes, nil
}

func printChanges(w io.Writer, changes []derpmap.Change, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(append([]derpmap.Change{}, changes...)) // none are an empty list, not null
	}
	for _, c := range changes {
		if _, err := fmt.Fprintln(w, c); err != nil {
			return err
		}
	}
	return nil
}
