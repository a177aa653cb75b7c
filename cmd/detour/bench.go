package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/load"
)

type benchFlags struct {
	cli.TargetPair
	run       load.Config
	rate      string
	pattern   string
	quietPair bool
	asJSON    bool
}

func newBenchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench URL [RECEIVERS-URL]",
		Short: "Put load on a relay and report what arrives",
		Long: `Put load on a relay, any that speaks DERP, and report what arrives.

Senders and receivers are peers with new keys in this process. Each packet is
one TLS record, as Tailscale's clients send them. Every received frame is
checked for length, source, order and content: what does not arrive is loss;
what arrives otherwise than it was sent is a broken stream and makes the
command fail.

With a second URL, receivers log in there. Packets then cross the link between
the two relays, which must be meshed; idle peers and --pid are of the first.

With --pairs 0 there is no traffic: idle peers log in and are held for
--duration, to see which connections stay.

Exit status: 0 every stream was whole, 1 a stream was broken or a connection
was lost, 2 wrong usage, 3 the load could not be put on.`,
		Example: `  detour bench http://127.0.0.1:3340/derp
  detour bench --rate 500M --quiet-pair --pid $(pidof detour) --insecure https://127.0.0.1/derp
  detour bench --rate 500M http://127.0.0.1:3340/derp http://127.0.0.1:3341/derp
  detour bench --pairs 0 --idle 5000 --settle 1m --pid 4711 --insecure https://127.0.0.1/derp`,
		Args: cli.OneOrTwo,
		RunE: func(cmd *cobra.Command, args []string) error { return bench(cmd, &f, args) },
	}
	f.addTo(cmd)
	return cmd
}

func (f *benchFlags) addTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.Add(flags)
	flags.IntVar(&f.run.Pairs, "pairs", 10, "streams of packets; 0 with --idle: none")
	flags.StringVar(&f.pattern, "pattern", string(load.Pairs), "who sends to whom: pairs, fanin (all to one) or fanout (one to all)")
	flags.IntVar(&f.run.Size, "size", load.DefaultSize, "`bytes` of one packet")
	flags.StringVar(&f.rate, "rate", "max", "payload `bits` per second of all senders together, like 500M; max: as fast as it goes")
	flags.IntVar(&f.run.Burst, "burst", 0, "packets per write; 0: 1 with a rate, 32 as fast as it goes")
	flags.IntVar(&f.run.Idle, "idle", 0, "peers that log in and then only stay")
	flags.DurationVar(&f.run.Settle, "settle", 0, "time from the last idle peer's login until memory is measured")
	flags.BoolVar(&f.run.Stall, "stall", false, "one more pair, whose receiver never reads")
	flags.DurationVar(&f.run.Warmup, "warmup", time.Second, "traffic that does not count")
	flags.DurationVar(&f.run.Duration, "duration", 10*time.Second, "time that is measured; with --pairs 0, for which idle peers are held")
	flags.IntVar(&f.run.PID, "pid", 0, "process of the relay, to tell its CPU time and memory (Linux)")
	flags.BoolVar(&f.quietPair, "quiet-pair", false, "measure the round trips of a quiet pair beside the load, in a process of its own")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
}

func bench(cmd *cobra.Command, f *benchFlags, relays []string) error {
	if err := f.refuseUnused(cmd, relays); err != nil {
		return err
	}
	cfg, err := f.config(relays)
	if err != nil {
		return err
	}
	progress := cli.NewProgressLine(cmd.ErrOrStderr())
	cfg.Progress = func(p load.Progress) { progress.Show(cli.Progress(p)) }
	var quiet *load.EchoReport
	if f.quietPair {
		cfg.Beside = func(ctx context.Context) (err error) {
			quiet, err = pingBeside(ctx, relays, f.Args(), cfg.Duration)
			return err
		}
	}
	report, err := load.Run(cmd.Context(), cfg)
	progress.Clear()
	if errors.Is(err, load.ErrNothingArrives) || errors.Is(err, load.ErrNotMeshed) {
		return err
	}
	if login, ok := errors.AsType[*load.LoginError](err); ok {
		return f.Explain(relays, login.URL, err)
	}
	if err != nil {
		return cli.Unansweredf("%w", err)
	}
	report.QuietPair = quiet
	if f.asJSON {
		err = cli.WriteJSON(cmd.OutOrStdout(), report)
	} else {
		err = printBench(cmd.OutOrStdout(), report)
	}
	return errors.Join(err, judgeBench(report))
}

// refuseUnused says which flags would have no effect.
func (f *benchFlags) refuseUnused(cmd *cobra.Command, relays []string) error {
	if f.run.Pairs == 0 {
		if len(relays) > 1 {
			return cli.Usagef("with --pairs 0 there are no receivers, for which a second URL is: leave it out")
		}
		if err := cli.Unused(cmd, "with --pairs 0", "pattern", "size", "rate", "burst", "stall", "warmup"); err != nil {
			return err
		}
	}
	if f.run.Idle == 0 {
		return cli.Unused(cmd, "without --idle", "settle")
	}
	return nil
}

// config turns the flags into a run, or says which flag is wrong.
func (f *benchFlags) config(relays []string) (load.Config, error) {
	cfg := f.run
	var err error
	if cfg.Dial, cfg.Far, err = f.Configs(relays); err != nil {
		return cfg, err
	}
	cfg.Pattern = load.Pattern(f.pattern)
	if cfg.Rate, err = cli.ParseRate(f.rate); err != nil {
		return cfg, cli.Usagef("--rate: %w", err)
	}
	if err := cfg.Check(); err != nil {
		return cfg, cli.Usagef("%w", err)
	}
	if f.quietPair && (cfg.Pairs == 0 || cfg.Duration < shortestQuiet) {
		return cfg, cli.Usagef("--quiet-pair needs --pairs and a --duration of at least %v", shortestQuiet)
	}
	return cfg, nil
}

// judgeBench is nil if every stream was whole and every connection stayed.
func judgeBench(r *load.Report) error {
	switch {
	case r.Broken.Frames > 0:
		return fmt.Errorf("%d frames in %d streams were not what was sent: %s", r.Broken.Frames, r.Broken.Streams, r.Broken.Example)
	case r.Lost.Count > 0:
		return fmt.Errorf("%d connections were lost: %s", r.Lost.Count, r.Lost.Example)
	}
	return nil
}
