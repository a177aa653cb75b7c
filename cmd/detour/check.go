package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/probe"
)

type checkFlags struct {
	cli.TargetFlags
	meshKey cli.MeshKeyFlag
	isMap   bool
	public  bool
	local   bool
	region  string
	node    string
	timeout time.Duration
	hold    time.Duration
	asJSON  bool
	quiet   bool
}

func newCheckCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check TARGET",
		Short: "Check a relay, or every relay of a DERP map, from the outside",
		Long: `Check a relay, or every relay of a DERP map, from the outside: names, TCP, TLS
and certificates, HTTP, login, packets, WebSocket, STUN, port 80, and between
the relays of a region the mesh. Whatever is wrong comes with what to do.

TARGET is a relay: a URL (https://relay.example/derp, or http:// without TLS), a
host or host:port. Or it is a DERP map: a file, "-" for standard input, or a URL
whose path ends in .json, .hujson, .jsonc, .yaml or .yml, or has a part
"derpmap"; --map says so of any other.

How to trust a relay is said by the flags, and in a map by each node. Logging in
takes keys that are made for it; a relay that admits only peers it knows lets
check in with the mesh key, which also shows whether the relays are linked.

--json prints one document: "status", "counts" and "took_ms"; "map" with the
checks of the map itself; "regions" with "id", "code", "name", their "checks"
and "nodes", each with "name", "url", "server_key" and "checks". A check has
"name", "status" (ok, warn, fail or skip), "detail", "remedy", "took_ms", and
between two nodes "from" and "to". docs/check.md explains every check.

Exit status: 0 nothing failed, 1 something failed, 2 wrong usage, 3 it could not
be checked: the map cannot be read, there is no network, or no time was left.`,
		Example: `  detour check https://relay.example/derp
  detour check --cert-name sha256-raw:<hex> 203.0.113.7
  detour check --region fra derpmap.yaml
  detour check --mesh-psk-file mesh.key --json https://control.example/derpmap.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return check(cmd, &f, args[0]) },
	}
	flags := cmd.Flags()
	f.TargetFlags.Add(flags)
	f.meshKey.Add(flags)
	flags.BoolVar(&f.isMap, "map", false, "TARGET is a DERP map")
	flags.BoolVar(&f.public, "public", false, "the map is a provider's: IDs outside 900-999 are as they should be")
	flags.BoolVar(&f.local, "local", false, "the map is for this machine only: loopback addresses are as they should be")
	flags.StringVar(&f.region, "region", "", "of a map, only the region with this `code` or ID")
	flags.StringVar(&f.node, "node", "", "of a map, only the node with this `name`")
	flags.DurationVar(&f.timeout, "timeout", 2*time.Minute, "stop after so long; what was not checked by then is skipped")
	flags.DurationVar(&f.hold, "hold", 0, "also keep an idle connection to each relay for so long, such as 70s, to see whether a proxy cuts it")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON, and nothing else")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print only what warns or fails, and the summary")
	return cmd
}

func check(cmd *cobra.Command, f *checkFlags, target string) error {
	if err := f.refuseUnused(cmd, target); err != nil {
		return err
	}
	cfg, err := f.config(cmd.Context(), target, cmd.InOrStdin())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), f.timeout, fmt.Errorf("--timeout %v is over", f.timeout))
	defer cancel()
	out := cmd.OutOrStdout()
	printer := newCheckPrinter(out, cli.NewProgressLine(cmd.ErrOrStderr()), f.quiet)
	if !f.asJSON {
		printer.follow(&cfg)
	}
	report, err := probe.Run(ctx, cfg)
	if report == nil {
		return notChecked(target, err)
	}
	if f.asJSON {
		err = errors.Join(err, cli.WriteJSON(out, report))
	} else {
		err = errors.Join(err, printer.sumUp(report))
	}
	return judgeCheck(report, err)
}

// refuseUnused says which flags would have no effect.
func (f *checkFlags) refuseUnused(cmd *cobra.Command, target string) error {
	if f.asJSON {
		if err := cli.Unused(cmd, "with --json", "quiet"); err != nil {
			return err
		}
	}
	if f.isMap || looksLikeMap(target) {
		return nil
	}
	return cli.Unused(cmd, "for a relay, only for a map", "public", "local")
}

// config makes what to check from the command line.
func (f *checkFlags) config(ctx context.Context, target string, stdin io.Reader) (cfg probe.Config, err error) {
	if f.timeout <= 0 {
		return cfg, cli.Usagef("--timeout %v: want more than 0", f.timeout)
	}
	if f.hold < 0 || f.hold >= f.timeout {
		return cfg, cli.Usagef("--hold %v: want 0 or more, and less than --timeout %v", f.hold, f.timeout)
	}
	cfg.Hold = f.hold
	cfg.Words = probe.Words{Words: cli.Words, MeshKey: "--mesh-psk-file", MeshWith: "--mesh-with"}
	if cfg.MeshKeys, _, err = f.meshKey.Load(); err != nil {
		return cfg, cli.Usagef("%w", err)
	}
	if !f.isMap && !looksLikeMap(target) {
		return cfg, f.relay(&cfg, target)
	}
	cfg.Region, cfg.Node = f.region, f.node
	if f.Insecure || f.CertName != "" {
		return cfg, cli.Usagef("--insecure and --cert-name are for one relay; in a map each node says how to trust it")
	}
	if f.CAFile != "" {
		if cfg.Dial.RootCAs, err = cli.ReadRoots("--ca", f.CAFile); err != nil {
			return cfg, err
		}
	}
	return cfg, f.readMap(ctx, &cfg, target, stdin)
}

// relay sets what to check to one relay.
func (f *checkFlags) relay(cfg *probe.Config, target string) error {
	if f.region != "" || f.node != "" {
		return cli.Usagef("--region and --node choose from a map, and %q is a relay: give a map, or --map if it is one", target)
	}
	url, err := relayURL(target)
	if err != nil {
		return err
	}
	var dial client.Config
	if dial, err = f.TargetFlags.Config(url); err == nil {
		cfg.Dial = dial
	}
	return err
}

// readMap sets what to check to the relays of a map, and keeps what is wrong with the map itself.
func (f *checkFlags) readMap(ctx context.Context, cfg *probe.Config, from string, stdin io.Reader) error {
	source, err := readMap(ctx, stdin, from, "", f.CAFile)
	if err != nil {
		return err
	}
	if cfg.Map, err = source.Load(); err != nil {
		return cli.Unansweredf("%w", err)
	}
	cfg.Findings = derpmap.Lint(source.Data, derpmap.LintConfig{Form: source.Form, Public: f.public, Local: f.local})
	return nil
}

// notChecked is the error of a command line, or of a map, that leaves nothing to check.
func notChecked(target string, err error) error {
	none, ok := errors.AsType[*probe.NoneError](err)
	if ok && len(none.Nodes) == 0 {
		return cli.Unansweredf("%s: %w: add a region", target, none)
	}
	if ok {
		return cli.Usagef("--region and --node: %w", none)
	}
	return cli.Usagef("%w", err)
}

// judgeCheck is nil if nothing failed. What failed counts even if not all was checked.
func judgeCheck(r *probe.Report, err error) error {
	switch {
	case errors.Is(err, probe.ErrNoNetwork):
		return cli.Unansweredf("%w: connect it, or check from another", probe.ErrNoNetwork)
	case r.Counts.Fail > 0:
		failed := fmt.Sprintf("%s failed", cli.Counted(r.Counts.Fail, "check"))
		if err != nil {
			return fmt.Errorf("%s, and %w", failed, err)
		}
		return errors.New(failed)
	case err != nil:
		return cli.Unansweredf("%w", err)
	}
	return nil
}
