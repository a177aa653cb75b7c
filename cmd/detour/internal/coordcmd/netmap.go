package coordcmd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/mapfeed"
)

func newMap() *cobra.Command {
	cmd := cli.NewGroup("map", "Set and show the DERP map that all members get")
	cmd.AddCommand(newMapSet(), newMapShow())
	return cmd
}

func newMapSet() *cobra.Command {
	var f netFlags
	var force bool
	cmd := &cobra.Command{
		Use:   "set MAP",
		Short: "Have all members use another DERP map",
		Long: `Have all members use another DERP map, within a second. MAP is a file, an http or
https URL, or - for standard input. The coordinator refuses one that lint finds errors
in, and without --force one that has lost most of its regions.

A coordinator that was started with --map gets its map from there, and sets it again
when that changes.` + exits,
		Example: `  detour net map set derp.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readMap(cmd, args[0])
			if err != nil {
				return err
			}
			return f.run(func(cmd *cobra.Command, a *asker, _ []string) error {
				q := url.Values{}
				if force {
					q.Set("force", "true")
				}
				var now coordapi.MapState
				if err := a.send(cmd.Context(), http.MethodPut, in("map"), q, bytes.NewReader(text), &now); err != nil {
					return next(err, coordapi.CodeConflict, "add --force")
				}
				if f.asJSON {
					return cli.WriteJSON(cmd.OutOrStdout(), now)
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "all members get it: %s, %s\n", cli.Counted(now.Regions, "region"), cli.Counted(now.Nodes, "node"))
				return err
			})(cmd, args)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"json", "hujson", "jsonc", "yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also if it looks half empty")
	f.add(cmd)
	return cmd
}

// readMap reads a map of any form and returns it as JSON.
func readMap(cmd *cobra.Command, name string) ([]byte, error) {
	source, err := mapfeed.NewSource(mapfeed.SourceConfig{Name: name, Stdin: cmd.InOrStdin()})
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	text, err := source.Read(cmd.Context())
	switch {
	case err != nil && mapfeed.IsURL(name):
		return nil, cli.ExplainMap(name, false, err)
	case errors.Is(err, fs.ErrNotExist):
		return nil, cli.Usagef("%w: name a file, a URL, or - for standard input", err)
	case err != nil:
		return nil, cli.Usagef("%w", err)
	}
	m, err := text.Load()
	if err != nil {
		return nil, err
	}
	return m.Encode(derpmap.JSON)
}

func newMapShow() *cobra.Command {
	var f netFlags
	var tailnet string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the DERP map that members get",
		Long: `Print the DERP map that members get, as JSON; with --tailnet in the order of the
nodes that members of that tailnet get. With --json it also says since when, and which
version.` + exits,
		Args: cobra.NoArgs,
		RunE: f.run(func(cmd *cobra.Command, a *asker, _ []string) error {
			var now coordapi.MapState
			if err := a.value(cmd.Context(), http.MethodGet, in("map"), nil, nil, &now); err != nil {
				return next(err, coordapi.CodeNotFound, "set one with: detour net map set FILE")
			}
			if tailnet != "" {
				if err := a.order(cmd, &now, tailnet); err != nil {
					return err
				}
			}
			if f.asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), now)
			}
			m, err := derpmap.Load(now.Map, derpmap.JSON)
			if err != nil {
				return cli.Unansweredf("%s: the map cannot be read: %w", a.At, err)
			}
			text, err := m.Encode(derpmap.JSON)
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&tailnet, "tailnet", "", "in the order for this `tailnet`")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("tailnet", f.tailnets))
	f.add(cmd)
	return cmd
}

// order puts the nodes of the map in the order for a tailnet, as the coordinator does
// for its members.
func (a *asker) order(cmd *cobra.Command, now *coordapi.MapState, tailnet string) error {
	var t coordapi.Tailnet
	if err := a.value(cmd.Context(), http.MethodGet, in("tailnets", tailnet), nil, nil, &t); err != nil {
		return noTailnet(err)
	}
	m, err := derpmap.Load(now.Map, derpmap.JSON)
	if err == nil {
		now.Map, err = m.ForTailnet(t.ID).Encode(derpmap.JSON)
	}
	if err != nil {
		return cli.Unansweredf("%s: the map cannot be read: %w", a.At, err)
	}
	return nil
}
