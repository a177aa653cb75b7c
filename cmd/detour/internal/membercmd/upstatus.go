package membercmd

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/agent"
	"github.com/detour-relay/detour/internal/agent/pair"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/tailnet"
)

// watchTime is how often a status is shown anew.
const watchTime = time.Second

// NewStatus makes "detour status".
func NewStatus() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: `Show the members that a "detour up" reaches, and how`,
		Long: `Show the members that a "detour up" of this machine reaches: names, addresses, the way that
packets to them take, how long that is there and back, when keys were last agreed on, and
how many bytes have passed. It is that of this user, of the service, or of the user who
asks as root by sudo.

A path is "relay 901 one", "direct 198.51.100.4:41641", or both while the direct one is not
sure. The round trip is that of the direct path, or else of the last handshake that this
side began and that was answered at once; - is not known, or not yet.

Exit status: 0 it could be asked, 2 wrong usage, 3 none runs, or it could not be asked.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stateFile, err := runningState(cmd.Context(), f.state)
			if err != nil {
				return err
			}
			return f.show(cmd.Context(), cmd.OutOrStdout(), stateFile)
		},
	}
	f.addState(cmd)
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&f.watch, "watch", false, "show it anew each second, until a signal; with --json one object a line")
	return cmd
}

func (f *askFlags) show(ctx context.Context, w io.Writer, stateFile string) error {
	c := control.OverSocket(socketOf(stateFile))
	defer c.Close()
	for {
		s, text, err := askStatus(ctx, c, stateFile)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if f.asJSON {
			err = cli.WriteJSON(w, text)
		} else {
			err = f.print(w, s, stateFile)
		}
		if err != nil || !f.watch {
			return err
		}
		select {
		case <-time.After(watchTime):
		case <-ctx.Done():
			return nil
		}
	}
}

// anew begins a page of a terminal again.
const anew = "\x1b[H\x1b[2J"

func (f *askFlags) print(w io.Writer, s agent.Status, stateFile string) error {
	var b strings.Builder
	if f.watch && cli.IsTerminal(w) {
		b.WriteString(anew)
	}
	if user := smallfile.OtherOwner(socketOf(stateFile)); user != "" {
		fmt.Fprintf(&b, "runs     as user %s, with %s\n", user, stateFile)
	}
	writeStatus(&b, s, time.Now())
	_, err := io.WriteString(w, b.String())
	return err
}

func writeStatus(w io.Writer, s agent.Status, now time.Time) {
	fmt.Fprintf(w, "member   %s (%s)\n", memberText(s.Name, s.Tailnet), addresses(s.Addresses))
	fmt.Fprintf(w, "tunnel   %s, MTU %d\n", s.Interface, s.MTU)
	switch {
	case s.Home == 0:
		fmt.Fprintln(w, "home     none yet")
	case s.Connected:
		fmt.Fprintf(w, "home     relay %d %s\n", s.Home, s.HomeCode)
	default:
		fmt.Fprintf(w, "home     relay %d %s, not connected\n", s.Home, s.HomeCode)
	}
	switch s.Phase {
	case tailnet.Connected:
		fmt.Fprintf(w, "coord    %s\n", s.Coordinator)
	case pair.Paired:
		fmt.Fprintln(w, "coord    none: paired")
	default:
		fmt.Fprintf(w, "coord    %s: what was known last counts\n", s.Phase)
	}
	if s.Problem != "" {
		fmt.Fprintf(w, "problem  %s\n", cli.Clean(s.Problem, mostReason))
	}
	fmt.Fprintln(w)
	if len(s.Peers) == 0 {
		fmt.Fprintln(w, "There is no other member.")
		if s.Phase == pair.Paired && s.Problem == "" {
			fmt.Fprintln(w, "\"detour up --invite\" prints a token for one.")
		}
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tADDRESSES\tPATH\tROUND TRIP\tHANDSHAKE\tRECEIVED\tSENT")
	for _, p := range s.Peers {
		name := p.Name
		if name == "" {
			name = p.Key
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, addresses(p.Addresses), orNone(p.Path), tripText(p.RoundTrip),
			agoText(p.Handshake, now), cli.Bytes(int64(p.Received)), cli.Bytes(int64(p.Sent)))
	}
	t.Flush()
}

func orNone(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func tripText(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return cli.Millis(ms * 1e3)
}

func agoText(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return now.Sub(at).Truncate(time.Second).String() + " ago"
}
