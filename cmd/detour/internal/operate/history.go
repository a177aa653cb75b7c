package operate

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/history"
)

// historyFlags are those of "history".
type historyFlags struct {
	watchFlags
	since, until  string
	step          cli.Span
	asJSON, asCSV bool
}

// NewHistory returns the command "history".
func NewHistory() *cobra.Command {
	var f historyFlags
	cmd := &cobra.Command{
		Use:   "history [TARGET]",
		Short: "Show what a relay did in the last hour, day or week",
		Long: `Show what a relay did in the last hour, day or week, from the minute figures that
it keeps: traffic, drops, peers, logins, waiting, computing and memory.

Without TARGET it asks the relay of this machine at its admin socket. TARGET is
the URL of its admin address, http://127.0.0.1:9340.

Each line is one step, from its beginning (UTC) on. What is counted is the sum of
the step, what is so many at a time its mean, and bytes are those of a second.
A bar compares traffic with that of the busiest step. Where the relay was off, one
line says for how long. Columns give way where the terminal is narrow. --json and
--csv have all figures, exactly; docs/watch.md explains each.

Exit status: 0 shown, 1 it keeps no history, 2 wrong usage, 3 no relay could be
asked.`,
		Example: `  detour history
  detour history --since 1h
  detour history --since 7d --step 1d
  detour history --since 2027-01-02T03:00:00Z --until 2027-01-02T05:00:00Z
  detour history --since 7d --step 1m --csv > week.csv`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "1d", "begin so long ago (90m, 12h, 7d), or at this `time` (2027-01-02T03:04:05Z)")
	flags.StringVar(&f.until, "until", "", "end so long ago, or at this `time` (default now)")
	flags.Var(&f.step, "step", "length of each step, in whole minutes up to 1d (default: one that makes 30 lines or fewer)")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON, and nothing else")
	flags.BoolVar(&f.asCSV, "csv", false, "print CSV with all figures, and nothing else")
	f.watchFlags.add(flags)
	return cmd
}

func (f *historyFlags) run(cmd *cobra.Command, args []string) error {
	if f.asJSON && f.asCSV {
		return cli.Usagef("--json and --csv are two forms: leave one out")
	}
	q, err := f.query(time.Now())
	if err != nil {
		return err
	}
	s, err := f.open(cmd, args)
	if err != nil {
		return err
	}
	defer s.Close()
	kept, err := s.history(cmd.Context(), q)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	switch {
	case f.asJSON:
		return cli.WriteJSON(out, struct {
			Relay string `json:"relay"`
			*history.Answer
		}{s.at, &kept})
	case f.asCSV:
		return writeHistoryCSV(out, &kept)
	}
	return printHistory(out, &kept)
}

// mostLines is how many steps a time has at most where nobody says how long one is: what
// can be seen at once. One more is shown where the time begins within a step.
const mostLines = 30

// usualSteps are those that people would choose.
var usualSteps = []time.Duration{
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour,
}

// query is what the relay is asked. How long ago something is, is sent as such: it counts
// by the relay's clock.
func (f *historyFlags) query(now time.Time) (url.Values, error) {
	from, since, err := moment("since", f.since, now)
	if err != nil {
		return nil, err
	}
	q, to := url.Values{"from": {since}}, now
	if f.until != "" {
		var until string
		if to, until, err = moment("until", f.until, now); err != nil {
			return nil, err
		}
		q.Set("to", until)
	}
	const kept = history.Minutes * time.Minute
	switch {
	case now.Sub(from) > kept+time.Minute:
		return nil, cli.Usagef("--since %s: a relay keeps a week: say 7d, or less", cli.Clean(f.since, 40))
	case !from.Before(to) && f.until == "":
		return nil, cli.Usagef("--since %s: that is not over yet", cli.Clean(f.since, 40))
	case !from.Before(to):
		return nil, cli.Usagef("--until %s is not after --since %s", cli.Clean(f.until, 40), cli.Clean(f.since, 40))
	}
	step := time.Duration(f.step)
	if step == 0 {
		step = usualStep(to.Sub(from))
	}
	if step%time.Minute != 0 || step > 24*time.Hour {
		return nil, cli.Usagef("--step %s: want whole minutes, up to 1d", &f.step)
	}
	q.Set("step", step.String())
	return q, nil
}

func usualStep(length time.Duration) time.Duration {
	for _, step := range usualSteps {
		if length <= mostLines*step {
			return step
		}
	}
	return usualSteps[len(usualSteps)-1]
}

// moment reads when something was, or how long ago. Text is the same for the relay.
func moment(flag, value string, now time.Time) (at time.Time, text string, err error) {
	var ago cli.Span
	if ago.Set(value) == nil {
		return now.Add(-time.Duration(ago)), "-" + time.Duration(ago).String(), nil
	}
	if at, err = time.Parse(time.RFC3339, value); err != nil || at.Year() < 1970 || at.Year() > 2200 {
		return at, "", cli.Usagef("--%s %q: say how long ago, as 90m, 12h or 7d, or when, as 2027-01-02T03:04:05Z", flag, cli.Clean(value, 40))
	}
	return at, at.UTC().Format(time.RFC3339), nil
}

// history asks for a piece of what it keeps.
func (s *source) history(ctx context.Context, q url.Values) (kept history.Answer, err error) {
	switch {
	case s.derper:
		return kept, cli.Usagef("%s is a derper, which keeps no history", s.at)
	case s.server != nil:
		kept, err = s.History(ctx, q)
	default:
		err = s.Get(ctx, control.PathAdminHistory, q, &kept)
	}
	if errors.Is(err, control.ErrElse) {
		err = cli.Unansweredf("%s: %w, or a relay that is too old to keep a history", s.at, err)
	}
	return kept, s.failed(err)
}
