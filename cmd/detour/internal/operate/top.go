package operate

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/top"
	"github.com/detour-relay/detour/cmd/detour/internal/who"
	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/key"
)

// topFlags are those of "top".
type topFlags struct {
	watchFlags
	filterFlags
	every        time.Duration
	limit        int
	once, asJSON bool
}

// NewTop returns the command "top".
func NewTop() *cobra.Command {
	var f topFlags
	cmd := &cobra.Command{
		Use:   "top [TARGET]",
		Short: "Watch who uses a relay most, now",
		Long: `Watch who uses a relay most, now: traffic, drops, and the busiest connections, in
the terminal. Keys sort, filter, show all of one connection, and, after a
question, close or ban ("?" lists them).

Without TARGET it asks the relay of this machine at its admin socket. TARGET is
the URL of its admin address, http://127.0.0.1:9340, which only tells.

Where there is no terminal, --once prints one sample, and --json one a line.

Exit status: 0 done, 2 wrong usage, 3 no relay could be asked.`,
		Example: `  detour top
  detour top --label guests --sort=-dropped
  detour top --once --limit 5
  detour top --json --every 10s`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.filterFlags.add(cmd, who.Live(), "-"+who.ByRate)
	flags := cmd.Flags()
	flags.DurationVar(&f.every, "every", control.UsualEvery, "a sample each `time`, from 500ms to 1m")
	flags.IntVar(&f.limit, "limit", tops, "with --once or --json: so many connections at most")
	flags.BoolVar(&f.once, "once", false, "print one sample, and end")
	flags.BoolVar(&f.asJSON, "json", false, "print each sample as a line of JSON, until interrupted")
	f.watchFlags.add(flags)
	return cmd
}

// tops is how many connections a sample has where no screen says.
const tops = 20

func (f *topFlags) run(cmd *cobra.Command, args []string) error {
	by := "-" + clients.ByRate
	if f.sort != by {
		var err error
		if by, err = who.SortOf(who.Live(), f.sort); err != nil {
			return err
		}
	}
	if err := new(clients.Filter).ParseFilter(f.keys, f.networks, f.labels, f.apps); err != nil {
		return cli.Usagef("--%w", err)
	}
	if f.every < top.Fastest || f.every > top.Slowest {
		return cli.Usagef("--every %s: want a time from %s to %s", f.every, top.Fastest, top.Slowest)
	}
	if f.limit < 1 || f.limit > clients.MostLimit {
		return cli.Usagef("--limit %d: want a number from 1 to %d", f.limit, clients.MostLimit)
	}
	in, out, interactive := terminals(cmd)
	if !interactive && !f.once && !f.asJSON {
		return cli.Usagef("this is no terminal: --once prints one sample, --json a line for each")
	}
	s, err := f.open(cmd, args)
	if err != nil {
		return err
	}
	defer s.Close()
	if f.once || f.asJSON {
		return f.print(cmd, s, by)
	}
	if err := cli.Unused(cmd, "without --once or --json", "limit"); err != nil {
		return err
	}
	return f.show(cmd, s, by, in, out)
}

// terminals are both sides of the one that a person sits at.
func terminals(cmd *cobra.Command) (in, out *os.File, ok bool) {
	in, isIn := cmd.InOrStdin().(*os.File)
	out, isOut := cmd.OutOrStdout().(*os.File)
	ok = isIn && isOut && term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb"
	return in, out, ok
}

// samples are what the relay sends. A derper has none.
func (s *source) samples(ctx context.Context, q url.Values, each func(*control.Sample) error) error {
	switch {
	case s.server != nil:
		return s.Top(ctx, q, each)
	case s.derper:
		return cli.Usagef("%s is a derper, which tells nothing of rates: \"detour clients --sort=-in\" lists who has used it most", s.at)
	}
	return s.TopAt(ctx, q, each)
}

// print prints one sample or each.
func (f *topFlags) print(cmd *cobra.Command, s *source, by string) error {
	filter := top.Filter{Keys: f.keys, Networks: f.networks, Labels: f.labels, Apps: f.apps}
	out := cmd.OutOrStdout()
	err := s.samples(cmd.Context(), filter.Values(by, f.limit, f.every), func(n *control.Sample) error {
		var err error
		if f.asJSON {
			err = cli.WriteJSON(out, n)
		} else {
			err = printSample(out, n)
		}
		if err == nil && f.once {
			err = errEnough
		}
		return err
	})
	switch {
	case err == errEnough, cmd.Context().Err() != nil:
		return nil
	case cli.ExitStatus(err) == cli.ExitUsage:
		return err
	}
	return s.failed(err)
}

// errEnough ends the samples.
var errEnough = fmt.Errorf("enough")

func printSample(w io.Writer, n *control.Sample) error {
	dropped := 0.0
	for _, r := range n.Dropped {
		dropped += r.Packets
	}
	fmt.Fprintf(w, "%s of %s; %s in, %s out, %.1f packets/s dropped, %d queued\n", cli.Counted(int(n.Conns), "connection"), cli.Counted(int(n.Peers), "key"),
		cmp.Or(who.PerSecond(n.In.Bytes), "0 B/s"), cmp.Or(who.PerSecond(n.Out.Bytes), "0 B/s"), dropped, n.Queued)
	rows := make([]who.Row, len(n.Busiest))
	for i := range n.Busiest {
		b := &n.Busiest[i]
		rows[i] = who.Row{PeerState: b.State(), In: b.InRate, Out: b.OutRate}
	}
	width := 0
	if p := cli.PageOf(w); p.Height > 0 {
		width = p.Width
	}
	return who.New(rows, who.Live(), n.At, width).Print(w)
}

// show is the screen, until a key or a signal ends it. A terminal that hangs up does, too.
func (f *topFlags) show(cmd *cobra.Command, s *source, by string, in, out *os.File) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
	defer stop()
	c := top.Config{
		At: s.at, Feed: s.samples, Sort: by, Every: f.every, Filter: top.Filter{Keys: f.keys, Networks: f.networks, Labels: f.labels, Apps: f.apps},
		UTF8: cli.PageOf(out).UTF8, Colour: os.Getenv("NO_COLOR") == "", In: in, Out: out,
	}
	if s.server != nil {
		c.Close, c.Ban = s.closeOne, s.banOne
	}
	// A relay that cannot be asked is told before the screen is another one.
	err := s.samples(ctx, c.Filter.Values(by, 1, f.every), func(*control.Sample) error { return errEnough })
	switch {
	case ctx.Err() != nil:
		return nil
	case cli.ExitStatus(err) == cli.ExitUsage:
		return err
	case err != errEnough:
		return s.failed(err)
	}
	return top.Run(ctx, c)
}

func (s *source) closeOne(ctx context.Context, k key.Public) (string, error) {
	results, err := s.ClosePeers(ctx, []key.Public{k})
	return oneResult(results, s.failed(err), closed)
}

func (s *source) banOne(ctx context.Context, k key.Public, during time.Duration) (string, error) {
	o := order{what: control.Ban, span: cli.Span(during)}
	results, err := s.Order(ctx, control.Ban, control.Order{Keys: []key.Public{k}, For: int64(during / time.Second)})
	return oneResult(results, s.failed(err), o.done)
}

// oneResult is what the command for an order would have printed.
func oneResult(results []control.Result, err error, done func(control.Result) string) (string, error) {
	if err != nil || len(results) == 0 {
		return "", err
	}
	r := results[0]
	if r.Error != "" {
		return "", fmt.Errorf("%s: %s", r.Key, r.Error)
	}
	return r.Key.String() + " " + done(r), nil
}
