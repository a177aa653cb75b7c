package coordcmd

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/coordserver"
	"github.com/detour-relay/detour/internal/coordstore"
)

func newStatus() *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the coordinator is",
		Long: `Show how the coordinator is: whether it is ready, where members find it, and whether
its engine can be written to. --json has all numbers, as /status of --admin has.

Exit status: 0 ready, 1 not ready, 2 wrong usage, 3 no coordinator could be asked.`,
		Args: cobra.NoArgs,
		RunE: f.runAtOnce(func(cmd *cobra.Command, a *asker, _ []string) error {
			var text json.RawMessage
			if err := a.value(cmd.Context(), http.MethodGet, in("status"), nil, nil, &text); err != nil {
				return err
			}
			var now coordserver.State
			if err := json.Unmarshal(text, &now); err != nil {
				return cli.Unansweredf("%s: the answer cannot be read: %w", a.At, err)
			}
			if err := f.printStatus(cmd.OutOrStdout(), text, now); err != nil || now.NotReady == "" {
				return err
			}
			return cli.SaidBad()
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.add(cmd)
	return cmd
}

func (f *netFlags) printStatus(w io.Writer, text json.RawMessage, now coordserver.State) error {
	if f.asJSON {
		return cli.WriteJSON(w, text)
	}
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	if now.NotReady != "" {
		line("ready", "no: %s", now.NotReady)
	} else {
		line("ready", "yes, %s", now.Phase)
	}
	line("version", "%s (pid %d, since %s)", now.Version, now.PID, cli.Moment(now.Started))
	line("url", "%s", now.URL)
	if now.Pin != "" {
		line("pin", "%s", now.Pin)
	}
	line("connections", "%d", now.Conns.Now)
	if d := detailsOf(text); d != nil {
		line("members", "%d in %s, %d connected here", d.Members, cli.Counted(d.Tailnets, "tailnet"), d.Connected)
		line("map", "%s", mapState(d.MapVersion, now.Map))
	}
	if now.MapError != "" {
		line("", "what is there now is not handed out: %s", now.MapError)
	}
	if now.Engine != nil {
		line("engine", "%s", engineText(*now.Engine))
		for _, r := range now.Engine.Replicas {
			line("", "%s: %s", r.Name, replicaText(r))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func engineText(e coordstore.State) string {
	if e.Writable {
		return e.Engine + ", can be written to"
	}
	return fmt.Sprintf("%s, cannot be written to since %s: %s", e.Engine, cli.Filled(cli.Moment(e.Since)), cli.Filled(e.Reason))
}

func replicaText(r coordstore.ReplicaState) string {
	switch {
	case r.Leader:
		return "leads"
	case r.Current:
		return "is current"
	case r.Lag > 0:
		return "is behind by " + cli.Counted(int(r.Lag), "change")
	}
	return "is behind"
}

// details are what the service says of itself.
type details struct {
	Tailnets   int    `json:"tailnets"`
	Members    int    `json:"members"`
	Connected  int    `json:"member_streams"`
	MapVersion string `json:"map_version"`
}

// detailsOf reads them from the whole state; nil: there is no service yet.
func detailsOf(text json.RawMessage) *details {
	var now struct {
		Service *details `json:"service"`
	}
	if json.Unmarshal(text, &now) != nil {
		return nil
	}
	return now.Service
}

func mapState(version, watched string) string {
	switch {
	case version == "":
		return "none yet: detour net map set"
	case watched != "":
		return "version " + version + ", watched: " + watched
	}
	return "version " + version
}
