package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
)

type orderFlags struct {
	in      mapInput
	out     mapOutput
	tailnet string
	explain bool
	asJSON  bool
}

func newMapOrderCommand() *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use:   "order MAP --tailnet NAME",
		Short: "Order the nodes of each region for a tailnet",
		Long: `Order the nodes of each region for a tailnet, and write the map.

The peers of a tailnet take the first node that they can connect to. With this
order they all meet on the same one, different tailnets spread evenly over the
nodes, and when a node fails its tailnets spread evenly over those left
(rendezvous hashing, docs/node-order.md). STUN-only nodes come last.
` + mapHelp + `

Exit status: 0 done, 1 this is no map, or it cannot be written, 2 wrong usage,
3 the map cannot be read or fetched.`,
		Example: `  detour map order derp.yaml --tailnet example.com --out derp-example.json
  detour map order derp.yaml --tailnet example.com --explain`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd.Flags().Changed); err != nil {
				return err
			}
			return f.order(cmd, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.tailnet, "tailnet", "", "`name` of the tailnet; any, as long as it is always the same one")
	flags.BoolVar(&f.explain, "explain", false, "print a table of the order and its scores instead of the map")
	flags.BoolVar(&f.asJSON, "json", false, "with --explain: print JSON")
	f.out.define(cmd, "default: by the name of --out, else as it was")
	f.in.define(cmd)
	return cmd
}

func (f *orderFlags) check(given func(flag string) bool) error {
	switch {
	case f.tailnet == "":
		return cli.Usagef("--tailnet is missing: name the tailnet to order the nodes for")
	case f.asJSON && !f.explain:
		return cli.Usagef("--json is for --explain: for the map as JSON write --to json")
	case f.explain && (given("to") || given("out")):
		return cli.Usagef("--explain prints a table, not the map: leave out --to and --out, or --explain")
	}
	return f.out.check()
}

func (f *orderFlags) order(cmd *cobra.Command, name string) error {
	m, source, err := f.in.load(cmd, name)
	if err != nil {
		return err
	}
	m = m.ForTailnet(f.tailnet)
	switch {
	case f.asJSON:
		return json.NewEncoder(cmd.OutOrStdout()).Encode(explainOrder(m, f.tailnet))
	case f.explain:
		return printOrder(cmd.OutOrStdout(), explainOrder(m, f.tailnet))
	}
	return f.out.write(cmd, m, source.Form)
}

// An orderedRegion is what "map order --explain --json" prints for each region. The
// JSON names are stable.
type orderedRegion struct {
	Region int           `json:"region"`
	Code   string        `json:"code"`
	Nodes  []orderedNode `json:"nodes"` // in order
}

type orderedNode struct {
	Name     string `json:"name"`
	HostName string `json:"hostname"`
	Score    string `json:"score,omitempty"` // 16 hex digits, since many readers of JSON round integers of that size
	STUNOnly bool   `json:"stun_only"`       // has no score: it relays for no tailnet
}

// explainOrder says why the nodes of a map that is ordered for the tailnet are
// where they are.
func explainOrder(m *derpmap.Map, tailnet string) []orderedRegion {
	regions := []orderedRegion{}
	for _, id := range m.IDs() {
		r := orderedRegion{Region: id, Code: m.Regions[id].RegionCode, Nodes: []orderedNode{}}
		for _, n := range m.Regions[id].Nodes {
			node := orderedNode{Name: n.Name, HostName: n.HostName, STUNOnly: n.STUNOnly}
			if !n.STUNOnly {
				node.Score = fmt.Sprintf("%016x", derpmap.Score(tailnet, n.Name))
			}
			r.Nodes = append(r.Nodes, node)
		}
		regions = append(regions, r)
	}
	return regions
}

func printOrder(w io.Writer, regions []orderedRegion) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REGION\tPLACE\tNODE\tSCORE\tHOSTNAME")
	for _, r := range regions {
		for i, n := range r.Nodes {
			score := n.Score
			if n.STUNOnly {
				score = "STUN only"
			}
			fmt.Fprintf(table, "%d %s\t%d\t%s\t%s\t%s\n", r.Region, r.Code, i+1, n.Name, score, n.HostName)
		}
	}
	return table.Flush()
}
