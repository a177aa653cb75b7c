package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/membercmd"
	"github.com/detour-relay/detour/internal/load"
)

// pingAs sends to another member of a tailnet.
func pingAs(cmd *cobra.Command, f *pingFlags, names []string) error {
	if len(names) != 1 {
		return cli.Usagef("--as: want one name of a member, not %d", len(names))
	}
	if err := cli.Unused(cmd, "with --as: the map says how to trust relays", "insecure", "ca", "cert-name", "cert-name2"); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	cfg := membercmd.PingConfig{
		StateFile: f.as, Name: names[0], Count: f.count, Interval: f.interval, Timeout: pingTimeout, Size: f.size,
	}
	if !f.asJSON {
		cfg.Ready = func(r membercmd.PingReport) {
			fmt.Fprintf(out, "%s to %s %s at home in %d: %d bytes there and back\n", r.As, r.Peer, r.Key, r.Home, f.size)
		}
		cfg.Each = func(r load.Reply) { printReply(out, r) }
	}
	report, err := membercmd.Ping(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	if report.Sent == 0 {
		return nil // interrupted before anything was known
	}
	if f.asJSON {
		err = cli.WriteJSON(out, report)
	} else {
		err = printEcho(out, &report.EchoReport)
	}
	return errors.Join(err, judgeAs(report))
}

// judgeAs is nil if all packets came back.
func judgeAs(r *membercmd.PingReport) error {
	switch {
	case r.Received == 0 && r.Home == 0:
		return fmt.Errorf("no packet came back, and nobody has told where %s is: see that \"detour join\" runs there", r.Peer)
	case r.Received == 0:
		return fmt.Errorf("no packet came back: see that \"detour join\" runs at %s", r.Peer)
	}
	return judgeEcho(&r.EchoReport)
}
