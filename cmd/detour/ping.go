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
	"github.com/detour-relay/detour/internal/load"
)

// pingTimeout is how long a packet may take before it is told as lost, and how long the command waits
// for the last ones.
const pingTimeout = 2 * time.Second

type pingFlags struct {
	cli.TargetPair
	as       string
	count    int
	interval time.Duration
	size     int
	asJSON   bool
}

func newPingCommand() *cobra.Command {
	var f pingFlags
	cmd := &cobra.Command{
		Use:   "ping URL [URL2] | ping --as STATE NAME",
		Short: "Measure round trips through a relay, through two of a region, or to another member",
		Long: `Measure round trips through a relay, any that speaks DERP.

Two peers with new keys log in; each packet goes from the first through the
relay to the second and the same way back. The relay need not know either of
them, unless it admits only peers it knows.

With a second URL, the second peer logs in there. Packets then cross the link
between the two relays, which must be meshed.

With --as, the member whose state file that is sends packets to another member
of its tailnet, by way of its home; "detour join" there answers them. The join
that runs with the state file sends them, or else this command itself does.

Exit status: 0 all packets came back, 1 some did not or came back changed,
2 wrong usage, 3 the peers could not log in.`,
		Example: `  detour ping http://127.0.0.1:3340/derp
  detour ping --count 100 --interval 50ms https://relay.example/derp
  detour ping --cert-name sha256-raw:<hex> https://192.0.2.1/derp
  detour ping http://127.0.0.1:3340/derp http://127.0.0.1:3341/derp
  detour ping --as anna.json ben`,
		Args: cli.OneOrTwo,
		RunE: func(cmd *cobra.Command, args []string) error { return ping(cmd, &f, args) },
	}
	flags := cmd.Flags()
	f.Add(flags)
	flags.StringVar(&f.as, "as", "", "send as the member with this state `file`, to the member of that name or key")
	flags.IntVarP(&f.count, "count", "c", 5, "packets to send; 0: until interrupted")
	flags.DurationVarP(&f.interval, "interval", "i", time.Second, "time between packets")
	flags.IntVarP(&f.size, "size", "s", 64, "`bytes` of one packet")
	flags.BoolVar(&f.asJSON, "json", false, "print the summary as JSON, and nothing else")
	return cmd
}

func ping(cmd *cobra.Command, f *pingFlags, relays []string) error {
	switch {
	case f.count < 0:
		return cli.Usagef("--count %d: want 0 (until interrupted) or more", f.count)
	case f.interval < time.Millisecond:
		return cli.Usagef("--interval %v: want 1ms or more", f.interval)
	case f.size < load.MinSize || f.size > load.MaxSize:
		return cli.Usagef("--size %d: want %d to %d bytes", f.size, load.MinSize, load.MaxSize)
	}
	if f.as != "" {
		return pingAs(cmd, f, relays)
	}
	near, far, err := f.Configs(relays)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	cfg := load.EchoConfig{Dial: near, Far: far, Count: f.count, Interval: f.interval, Size: f.size, Timeout: pingTimeout}
	if !f.asJSON {
		cfg.Ready = func(near, far *client.Conn) { printRelays(out, near, far, len(relays) == 2, f.size) }
		cfg.Each = func(r load.Reply) { printReply(out, r) }
	}
	report, err := load.Echo(cmd.Context(), cfg)
	if login, ok := errors.AsType[*load.LoginError](err); ok {
		return f.Explain(relays, login.URL, err)
	}
	if err != nil {
		return err
	}
	if f.asJSON {
		err = cli.WriteJSON(out, report)
	} else {
		err = printEcho(out, report)
	}
	if report.Received == 0 && f.size > smallEnough && smallPasses(cmd.Context(), cfg) {
		return errors.Join(err, fmt.Errorf("no packet of %d bytes came back, though one of %d does: the path loses large packets (MTU): "+
			"let ICMP \"fragmentation needed\" through, or lower the MTU of the tunnel between", f.size, load.MinSize))
	}
	return errors.Join(err, judgeEcho(report))
}

// smallEnough are packets that every path takes in one piece, with all that is around them.
const smallEnough = 400

// smallPasses tries a small packet where no large one came back. The peers are new ones: the connections of
// the others may be stuck behind what was lost.
func smallPasses(ctx context.Context, cfg load.EchoConfig) bool {
	cfg.Size, cfg.Count, cfg.Ready, cfg.Each = load.MinSize, 1, nil, nil
	report, err := load.Echo(ctx, cfg)
	return err == nil && report.Received == 1
}

func printRelays(w io.Writer, near, far *client.Conn, two bool, size int) {
	fmt.Fprintf(w, "relay %s at %s", near.ServerKey(), near.RemoteAddr())
	if two {
		fmt.Fprintf(w, "\n  and %s at %s", far.ServerKey(), far.RemoteAddr())
	}
	fmt.Fprintf(w, ": %d bytes there and back\n", size)
}

func printReply(w io.Writer, r load.Reply) {
	if r.Lost {
		fmt.Fprintf(w, "seq=%d lost\n", r.Seq)
		return
	}
	fmt.Fprintf(w, "seq=%d time=%s\n", r.Seq, cli.Millis(float64(r.Took.Nanoseconds())/1e3))
}

func printEcho(w io.Writer, r *load.EchoReport) error {
	_, err := fmt.Fprintf(w, "%d packets sent, %d came back, %.4g%% lost\n", r.Sent, r.Received, r.LossPercent)
	if t := r.RoundTrip; t != nil {
		_, err = fmt.Fprintf(w, "round trip min/avg/p99/max = %s / %s / %s / %s\n",
			cli.Millis(t.Min), cli.Millis(t.Mean), cli.Millis(t.P99), cli.Millis(t.Max))
	}
	return err
}

// judgeEcho is nil if all packets came back as they were sent.
func judgeEcho(r *load.EchoReport) error {
	switch {
	case r.Broken.Frames > 0:
		return fmt.Errorf("%d packets came back changed: %s", r.Broken.Frames, r.Broken.Example)
	case r.Received == 0:
		return errors.New("no packet came back: both peers are logged in, so the relay does not pass packets on")
	case r.Received < r.Sent:
		return fmt.Errorf("%d of %d packets were lost", r.Sent-r.Received, r.Sent)
	}
	return nil
}

// cli.Millis writes microseconds as milliseconds with three digits that mean something.
