package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
)

type netcheckFlags struct {
	in      mapInput
	noUDP   bool
	nearest bool
	asJSON  bool
}

func newNetcheckCommand() *cobra.Command {
	var f netcheckFlags
	cmd := &cobra.Command{
		Use:   "netcheck MAP",
		Short: "Measure the regions of a map from here, and say which would be home",
		Long: `Measure how far the regions of a map are from this host, and say which one would
be its home, by the rules that peers choose by; whether UDP works, under which
addresses the relays see this host, and whether something is in the way.

It asks by STUN, and where nothing answers over UDP, by HTTPS, which takes 5 s at
most. docs/netcheck.md explains every line, and the JSON.
` + mapHelp + `

Exit status: 0 there is a home, 1 no region answered, or the nearest cannot
relay, 2 wrong usage, 3 the map cannot be read, or has no regions.`,
		Example: `  detour netcheck derp.yaml
  detour netcheck --no-udp --ca ca.pem derp.yaml
  detour netcheck --json https://login.tailscale.com/derpmap/default`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.netcheck(cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.noUDP, "no-udp", false, "measure over HTTPS only, as where UDP is blocked")
	flags.BoolVar(&f.nearest, "nearest", false, "stop soon after three regions have answered, as peers do, instead of waiting for all")
	flags.StringVar(&f.in.caFile, "ca", "", "over HTTPS, to relays and to the URL of the map, trust the certificates of this PEM `file` instead of the system's")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	f.in.define(cmd)
	return cmd
}

func (f *netcheckFlags) netcheck(cmd *cobra.Command, name string) error {
	if f.noUDP {
		if err := cli.Unused(cmd, "with --no-udp", "nearest"); err != nil {
			return err
		}
	}
	base, err := f.base()
	if err != nil {
		return err
	}
	m, err := f.load(cmd, name)
	if err != nil {
		return err
	}
	found, err := f.measure(cmd, m, base)
	if err != nil {
		return err
	}
	return f.answer(cmd, newNetcheckReport(m, found, f.in.caFile != ""))
}

// base is how to reach relays.
func (f *netcheckFlags) base() (base client.Config, err error) {
	if f.in.caFile != "" {
		base.RootCAs, err = cli.ReadRoots("--ca", f.in.caFile)
	}
	return base, err
}

// load reads the map. One with errors is measured all the same, since peers may have it.
func (f *netcheckFlags) load(cmd *cobra.Command, name string) (*derpmap.Map, error) {
	m, source, err := f.in.load(cmd, name)
	switch {
	case cli.ExitStatus(err) == cli.ExitBad: // a text that is no map
		return nil, cli.Unansweredf("%w", err)
	case err != nil:
		return nil, err
	case len(m.IDs()) == 0:
		return nil, cli.Unansweredf("%s: the map has no regions: add Regions with a region in it", source.Name)
	}
	if n := newLintReport(source, derpmap.LintConfig{Public: true}).Errors; n > 0 {
		f.say(cmd, fmt.Sprintf("%s has %s, so that peers may do something else with it: see \"detour map lint\"",
			source.Name, cli.Counted(n, "error")))
	}
	return m, nil
}

func (f *netcheckFlags) measure(cmd *cobra.Command, m *derpmap.Map, base client.Config) (client.Home, error) {
	line := cli.NewProgressLine(cmd.ErrOrStderr())
	line.Show(cli.Progress{Stage: fmt.Sprintf("measuring %s, which takes up to 5 s", cli.Counted(len(m.IDs()), "region"))})
	defer line.Clear()
	found, err := client.Netcheck(cmd.Context(), client.NetcheckConfig{Map: m, Base: base, NoUDP: f.noUDP, AllRegions: !f.nearest})
	if cmd.Context().Err() != nil {
		return found, cli.Unansweredf("interrupted before the regions had answered")
	}
	return found, err
}

func (f *netcheckFlags) answer(cmd *cobra.Command, r netcheckReport) error {
	if err := f.print(cmd.OutOrStdout(), r); err != nil {
		return err
	}
	for _, advice := range netcheckAdvice(r, f.noUDP) {
		f.say(cmd, advice)
	}
	if r.Home == 0 || !r.HomeRelays {
		return cli.SaidBad()
	}
	return nil
}

func (f *netcheckFlags) print(w io.Writer, r netcheckReport) error {
	if f.asJSON {
		return cli.WriteJSON(w, r)
	}
	_, err := io.WriteString(w, netcheckText(r, f.noUDP, cli.PageOf(w)))
	return err
}

func (f *netcheckFlags) say(cmd *cobra.Command, text string) {
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", cmd.CommandPath(), text)
}
