package operate

import (
	"context"
	"fmt"
	"io"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/roster"
	"github.com/detour-relay/detour/key"
)

// A peersReport is what "peers list --json" prints for each relay. The JSON names
// are stable.
type peersReport struct {
	Relay string     `json:"relay"`
	Peers []peerLine `json:"peers"`
}

// A peerEvent is what "peers list --watch --json" prints afterwards.
type peerEvent struct {
	Relay string `json:"relay"`
	Event string `json:"event"` // present or gone
	peerLine
}

func newPeersList() *cobra.Command {
	var f peersFlags
	var watch bool
	cmd := &cobra.Command{
		Use:   "list [URL...]",
		Short: "List the peers of relays that one has the mesh key of",
		Long: `List the peers of relays that one has the mesh key of, wherever they are: those
of one region, as a sibling of theirs sees them. A relay whose certificate is
pinned is written as URL=sha256-raw:<hex>.

Without a URL it is "detour clients --limit 0", which shows the relay of this
machine, and can filter and sort.

Siblings are among the peers (mesh), and those that would rather be on another
node of the region (not-ideal).

Exit status: 0 listed, 2 wrong usage, 3 a relay could not be asked.`,
		Example: `  detour peers list
  detour peers list --mesh-psk-file mesh.key https://relay.example/derp
  detour peers list --watch --mesh-psk-file mesh.key http://127.0.0.1:3340`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return listMesh(cmd, &f, args, watch)
			}
			if err := f.local(cmd, "watch"); err != nil {
				return err
			}
			return listHere(cmd, &f)
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "with a URL: go on showing who comes and goes, until interrupted")
	f.define(cmd)
	return cmd
}

// listMesh lists the peers of relays that are asked with the mesh key.
func listMesh(cmd *cobra.Command, f *peersFlags, urls []string, watch bool) error {
	if err := f.remote(); err != nil {
		return err
	}
	rosters, err := f.mesh.open(cmd.Context(), urls)
	if err != nil {
		return err
	}
	defer closeRosters(rosters)
	out := cmd.OutOrStdout()
	if f.mesh.asJSON {
		err = printRostersJSON(out, rosters)
	} else {
		err = printRosters(out, rosters)
	}
	if err != nil || !watch {
		return err
	}
	return watchRosters(cmd.Context(), out, rosters, f.mesh.asJSON)
}

func printRosters(w io.Writer, rosters []*roster.Roster) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, r := range rosters {
		if len(rosters) > 1 {
			if i > 0 {
				fmt.Fprintln(table)
			}
			fmt.Fprintf(table, "%s: %d peers\n", r.URL(), r.Len())
		}
		fmt.Fprintln(table, "KEY\tADDRESS\tFLAGS\tAPP")
		for _, p := range r.Peers() {
			fmt.Fprintln(table, newPeerLine(p).columns())
		}
	}
	return table.Flush()
}

func printRostersJSON(w io.Writer, rosters []*roster.Roster) error {
	for _, r := range rosters {
		report := peersReport{Relay: r.URL(), Peers: []peerLine{}}
		for _, p := range r.Peers() {
			report.Peers = append(report.Peers, newPeerLine(p))
		}
		if err := cli.WriteJSON(w, report); err != nil {
			return err
		}
	}
	return nil
}

// watchRosters prints who comes and goes, until ctx is done or a relay is lost.
func watchRosters(ctx context.Context, w io.Writer, rosters []*roster.Roster, asJSON bool) error {
	defer context.AfterFunc(ctx, func() { closeRosters(rosters) })()
	var readers sync.WaitGroup
	var mu sync.Mutex // for w
	lost := make(chan error, len(rosters))
	for _, r := range rosters {
		readers.Go(func() {
			lost <- follow(r, func(e roster.Event) error {
				mu.Lock()
				defer mu.Unlock()
				return printEvent(w, r.URL(), len(rosters) > 1, asJSON, e)
			})
		})
	}
	err := <-lost
	interrupted := ctx.Err() != nil
	closeRosters(rosters)
	readers.Wait()
	if interrupted {
		return nil
	}
	return cli.Unansweredf("%w", err)
}

// follow tells of each change until an error.
func follow(r *roster.Roster, change func(roster.Event) error) error {
	for {
		e, err := r.Next()
		if err == nil {
			err = change(e)
		}
		if err != nil {
			return err
		}
	}
}

func printEvent(w io.Writer, url string, several, asJSON bool, e roster.Event) error {
	sign, event := "-", "gone"
	if e.Present {
		sign, event = "+", "present"
	}
	line := newPeerLine(e.Peer)
	if asJSON {
		return cli.WriteJSON(w, peerEvent{url, event, line})
	}
	text := sign + " " + line.Key.String()
	if e.Present {
		text = sign + " " + line.columns()
	}
	if several {
		text = url + "\t" + text
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// A closeReport is what "peers close --json" prints. The JSON names are stable.
type closeReport struct {
	Relay  string       `json:"relay"`
	Closed []key.Public `json:"closed"` // had been connected, and have gone
	Absent []key.Public `json:"absent"` // were not connected
	Stayed []key.Public `json:"stayed"` // have not gone
}

// closeTimeout is how long peers may take to be gone.
const closeTimeout = 5 * time.Second

func newPeersClose() *cobra.Command {
	var f peersFlags
	cmd := &cobra.Command{
		Use:   "close [URL] KEY...",
		Short: "Close the connections of peers at a relay",
		Long: `Close the connections of peers, at the relay of this machine or with its mesh
key at any other. Peers are free to come back, and most do at once: "detour
access ban" keeps them out.

Exit status: 0 all were connected and have gone, 1 some were not, or have not,
2 wrong usage, 3 the relay could not be asked.`,
		Example: `  detour peers close nodekey:<hex>
  detour peers close --mesh-psk-file mesh.key https://relay.example/derp nodekey:<hex>`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isURL(args[0]) {
				return closeMesh(cmd, &f, args)
			}
			keys, err := parseKeys(args)
			if err == nil {
				err = f.local(cmd)
			}
			if err != nil {
				return err
			}
			return closeHere(cmd, &f, keys)
		},
	}
	f.define(cmd)
	return cmd
}

// closeMesh closes the connections of peers at a relay that is asked with the mesh key.
func closeMesh(cmd *cobra.Command, f *peersFlags, args []string) error {
	if len(args) == 1 {
		return cli.Usagef("name the keys whose connections are to be closed, behind the URL")
	}
	keys, err := parseKeys(args[1:])
	if err == nil {
		err = f.remote()
	}
	if err != nil {
		return err
	}
	rosters, err := f.mesh.open(cmd.Context(), args[:1])
	if err != nil {
		return err
	}
	defer closeRosters(rosters)
	report, err := closePeers(cmd.Context(), rosters[0], keys)
	if err != nil {
		return err
	}
	return report.print(cmd.OutOrStdout(), f.mesh.asJSON)
}

// closePeers closes the connections of keys and waits until they are gone.
func closePeers(ctx context.Context, r *roster.Roster, keys []key.Public) (*closeReport, error) {
	report := &closeReport{Relay: r.URL(), Closed: []key.Public{}, Absent: []key.Public{}, Stayed: []key.Public{}}
	asked := make(map[key.Public]bool)
	for _, k := range keys {
		if !r.Has(k) {
			report.Absent = append(report.Absent, k)
			continue
		}
		if err := r.ClosePeer(k); err != nil {
			return nil, cli.Unansweredf("%w", err)
		}
		asked[k] = true
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { r.Close() })()
	for len(asked) > 0 {
		e, err := r.Next()
		if err != nil && ctx.Err() != nil {
			break
		}
		if err != nil {
			return nil, cli.Unansweredf("%w", err)
		}
		if k := e.Peer.Key; !e.Present && asked[k] {
			report.Closed = append(report.Closed, k)
			delete(asked, k)
		}
	}
	for k := range asked {
		report.Stayed = append(report.Stayed, k)
	}
	return report, nil
}

// print prints the report; the error says what did not go as asked.
func (c *closeReport) print(w io.Writer, asJSON bool) (err error) {
	if asJSON {
		err = cli.WriteJSON(w, c)
	} else {
		for _, group := range []struct {
			keys []key.Public
			fate string
		}{{c.Closed, "closed"}, {c.Absent, "was not connected"}, {c.Stayed, "has not gone"}} {
			for _, k := range group.keys {
				fmt.Fprintf(w, "%s %s\n", k, group.fate)
			}
		}
	}
	if n := len(c.Absent) + len(c.Stayed); n > 0 && err == nil {
		err = fmt.Errorf("%d of %d peers were not connected or have not gone", n, n+len(c.Closed))
	}
	return err
}
