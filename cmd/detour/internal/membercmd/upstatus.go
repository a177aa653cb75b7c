package membercmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

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
	page, terminal := cli.Page{}, cli.IsTerminal(w)
	if terminal {
		page = cli.PageOf(w)
	}
	if user := smallfile.OtherOwner(socketOf(stateFile)); user != "" {
		fmt.Fprintf(&b, "runs     as user %s, with %s\n", user, stateFile)
	}
	writeStatus(&b, s, page.Width, time.Now())
	text := b.String()
	if f.watch && terminal {
		text = anew + cutLines(text, page.Height)
	}
	_, err := io.WriteString(w, text)
	return err
}

// cutLines leaves out what would scroll a page away; 0: it has no end.
func cutLines(text string, height int) string {
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	if height < 3 || len(lines) < height {
		return text
	}
	kept := height - 2
	return strings.Join(lines[:kept], "") + fmt.Sprintf("... and %d more lines, for which this terminal is too small\n", len(lines)-kept)
}

// writeStatus writes what there is to see at a glance. Texts that others have a say in are
// made fit for terminals. A width of 0 has no end.
func writeStatus(w io.Writer, s agent.Status, width int, now time.Time) {
	fmt.Fprintf(w, "member   %s (%s)\n", memberText(word(s.Name), word(s.Tailnet)), addresses(s.Addresses))
	fmt.Fprintf(w, "tunnel   %s, MTU %d\n", word(s.Interface), s.MTU)
	home := strings.TrimSpace(fmt.Sprintf("relay %d %s", s.Home, word(s.HomeCode)))
	switch {
	case s.Home == 0:
		home = "none yet"
	case !s.Connected:
		home += ", not connected"
	}
	fmt.Fprintf(w, "home     %s\n", home)
	switch s.Phase {
	case tailnet.Connected:
		fmt.Fprintf(w, "coord    %s\n", word(s.Coordinator))
	case pair.Paired:
		fmt.Fprintln(w, "coord    none: paired")
	default:
		fmt.Fprintf(w, "coord    %s: what was known last counts\n", word(string(s.Phase)))
	}
	if s.Problem != "" {
		io.WriteString(w, cli.Fold("problem  "+cli.Clean(s.Problem, mostReason), cmp.Or(width, mostReason+9), 9))
	}
	fmt.Fprintln(w)
	if len(s.Peers) == 0 {
		fmt.Fprintln(w, "There is no other member.")
		if s.Phase == pair.Paired && s.Problem == "" {
			fmt.Fprintln(w, "\"detour up --invite\" prints a token for one.")
		}
		return
	}
	writePeers(w, s.Peers, width, now)
}

// mostWord is how long a name or the like is printed, in characters.
const mostWord = 80

func word(text string) string { return cli.Clean(text, mostWord) }

// writePeers writes a line for each. Where that is too wide, one address has to do.
func writePeers(w io.Writer, peers []agent.PeerStatus, width int, now time.Time) {
	table := peerTable(peers, mostOfPeer, now)
	if width > 0 && slices.ContainsFunc(strings.Split(table, "\n"), func(l string) bool { return utf8.RuneCountInString(l) > width }) {
		table = peerTable(peers, 1, now)
	}
	io.WriteString(w, table)
}

// mostOfPeer is how many addresses of a peer are printed if there is room.
const mostOfPeer = 4

func peerTable(peers []agent.PeerStatus, most int, now time.Time) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tADDRESSES\tPATH\tROUND TRIP\tHANDSHAKE\tRECEIVED\tSENT")
	for _, p := range peers {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", word(cmp.Or(p.Name, p.Key)), addresses(p.Addresses[:min(len(p.Addresses), most)]), orNone(word(p.Path)),
			tripText(p.RoundTrip), agoText(p.Handshake, now), cli.Bytes(int64(p.Received)), cli.Bytes(int64(p.Sent)))
	}
	t.Flush()
	return b.String()
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

// agoText says how long ago something was, to the second within an hour.
func agoText(at, now time.Time) string {
	ago := max(now.Sub(at), 0).Truncate(time.Second)
	switch {
	case at.IsZero():
		return "-"
	case ago < time.Hour:
		return ago.String() + " ago"
	case ago < 48*time.Hour:
		return fmt.Sprintf("%dh%dm ago", int(ago.Hours()), int(ago.Minutes())%60)
	}
	return fmt.Sprintf("%d days ago", int(ago.Hours())/24)
}
