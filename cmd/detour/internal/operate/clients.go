package operate

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/who"
	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/internal/control"
)

// filterFlags say which connections.
type filterFlags struct {
	keys, networks, labels, apps []string
	sort                         string
}

func (f *filterFlags) add(cmd *cobra.Command, columns []who.Column, sort string) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.keys, "key", nil, "only this `key`, or those that begin with these hex digits; may be repeated, as the next three")
	flags.StringArrayVar(&f.networks, "network", nil, "only those that come from this `network` (192.0.2.0/24), or address; an IPv6 zone cannot be picked")
	flags.StringArrayVar(&f.labels, "label", nil, "only those with this `label`; empty: those without")
	flags.StringArrayVar(&f.apps, "app", nil, "only those whose program calls itself this `name`; empty: those that say nothing")
	flags.StringVar(&f.sort, "sort", sort, "order by this `column`; with a dash before it, the most or the last comes first")
	var names []cobra.Completion
	for _, name := range who.Sortable(columns) {
		names = append(names, name, "-"+name)
	}
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)))
}

func (f *filterFlags) query() (*clients.Query, error) {
	q := new(clients.Query)
	by, err := who.SortOf(who.All, f.sort)
	if err != nil {
		return nil, err
	}
	if err := q.SortBy(by); err != nil {
		return nil, err
	}
	if err := q.ParseFilter(f.keys, f.networks, f.labels, f.apps); err != nil {
		return nil, cli.Usagef("--%w", err)
	}
	return q, nil
}

// clientsFlags are those of "clients".
type clientsFlags struct {
	watchFlags
	filterFlags
	limit               int
	after               string
	asJSON, asCSV, wide bool
}

// NewClients returns the command "clients".
func NewClients() *cobra.Command {
	var f clientsFlags
	cmd := &cobra.Command{
		Use:   "clients [TARGET]",
		Short: "List who uses a relay, filtered, sorted, page by page",
		Long: `List who uses a relay: each connection with its key, address, label, bytes,
packets, drops, round trip of TCP, and how long its packets wait.

Without TARGET it asks the relay of this machine at its admin socket. TARGET is
the URL of an admin address, ours (http://127.0.0.1:9340) or that of a derper,
whose /debug/clients/ has fewer columns. "detour peers list URL" is for relays
that one knows the mesh key of, and nothing more.

On a terminal, keys are short and columns give way where it is narrow; --wide
shows all of them. --key finds a key by how it begins.

Exit status: 0 listed, 2 wrong usage, 3 no relay could be asked.`,
		Example: `  detour clients --sort=-in --limit 10
  detour clients --network 192.0.2.0/24 --label guests
  detour clients --key 05ab01 --wide
  detour clients --limit 0 --csv > clients.csv
  detour clients https://derper.example/debug/clients/`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.filterFlags.add(cmd, who.All, who.Key)
	flags := cmd.Flags()
	flags.IntVar(&f.limit, "limit", clients.UsualLimit, "so many at most; 0: all")
	flags.StringVar(&f.after, "after", "", "begin behind this `place`, which the page before has told, or behind a value of the column")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON, and nothing else")
	flags.BoolVar(&f.asCSV, "csv", false, "print CSV with all columns, and nothing else")
	flags.BoolVar(&f.wide, "wide", false, "whole keys and all columns, however narrow the terminal is")
	f.watchFlags.add(flags)
	return cmd
}

// add defines the flags.
func (f *watchFlags) add(flags *pflag.FlagSet) {
	f.trust.Add(flags)
	f.Target = newTarget()
	f.Add(flags)
}

func (f *clientsFlags) run(cmd *cobra.Command, args []string) error {
	q, err := f.query()
	if err != nil {
		return err
	}
	if f.limit < 0 {
		return cli.Usagef("--limit %d: want a number, or 0 for all", f.limit)
	}
	if f.asJSON && f.asCSV {
		return cli.Usagef("--json and --csv are two forms: leave one out")
	}
	q.Limit = f.limit
	if cmd.Flags().Changed("after") {
		if err := begin(q, f.after); err != nil {
			return err
		}
	}
	s, err := f.open(cmd, args)
	if err != nil {
		return err
	}
	defer s.Close()
	return f.list(cmd, s, q)
}

// begin sets where a page begins: "VALUE/CONN", VALUE as in the query of a URL.
func begin(q *clients.Query, place string) error {
	conn := ""
	if at := strings.LastIndexByte(place, '/'); at >= 0 {
		if _, err := strconv.ParseUint(place[at+1:], 10, 64); err == nil {
			place, conn = place[:at], place[at+1:]
		}
	}
	value, err := url.PathUnescape(place)
	if err != nil {
		value = place
	}
	if err := q.Begin(value, conn, time.Now()); err != nil {
		return cli.Usagef("--%w", err)
	}
	return nil
}

// place is what begin reads. All in it is plain for a shell.
func place(q *clients.Query, page *clients.Page) string {
	after, conn := q.Next(&page.Peers[len(page.Peers)-1])
	if conn == "" {
		return after
	}
	return strings.NewReplacer("+", "%20", "%3A", ":").Replace(url.QueryEscape(after)) + "/" + conn
}

func (f *clientsFlags) list(cmd *cobra.Command, s *source, q *clients.Query) error {
	page, err := s.pick(cmd.Context(), q)
	if err != nil {
		return err
	}
	next := ""
	if page.Remaining > 0 && len(page.Peers) > 0 {
		next = place(q, &page)
	}
	out := cmd.OutOrStdout()
	switch {
	case f.asJSON:
		return printClientsJSON(out, s, &page, next)
	case f.asCSV:
		err = who.WriteCSV(out, who.Rows(page.Peers), s.columns())
	default:
		err = printClients(out, s, &page, f.wide)
	}
	if err != nil || next == "" {
		return err
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d connections, and %d behind them: add --after %s\n", len(page.Peers), page.Conns, page.Remaining, next)
	return err
}

func printClients(w io.Writer, s *source, page *clients.Page, wide bool) error {
	if len(page.Peers) == 0 {
		text := "nobody is connected"
		if page.Conns > 0 {
			text = "there are no more"
		}
		_, err := fmt.Fprintln(w, text)
		return err
	}
	width := 0
	if p := cli.PageOf(w); p.Height > 0 && !wide {
		width = p.Width
	}
	return who.New(who.Rows(page.Peers), s.columns(), time.Now(), width).Print(w)
}

// A clientsReport is what "clients --json" prints. The JSON names are stable.
type clientsReport struct {
	Relay     string         `json:"relay"`
	Conns     int            `json:"conns"` // that the filter takes
	Keys      int            `json:"keys"`
	Remaining int            `json:"remaining"`       // behind this page
	After     string         `json:"after,omitempty"` // what --after is given for the next page
	Clients   []control.Peer `json:"clients"`
}

func printClientsJSON(w io.Writer, s *source, page *clients.Page, next string) error {
	report := clientsReport{s.at, page.Conns, page.Keys, page.Remaining, next, make([]control.Peer, len(page.Peers))}
	for i := range page.Peers {
		report.Clients[i] = control.PeerOf(&page.Peers[i])
	}
	return cli.WriteJSON(w, report)
}

// listHere is "peers list" without a URL: who is connected to the relay of this machine,
// all of them. Its JSON is older than "clients".
func listHere(cmd *cobra.Command, f *peersFlags) error {
	r, err := f.Open(cmd.Context())
	if err != nil {
		return err
	}
	defer r.Close()
	s := &source{Client: r.Client, at: r.At, server: r, failed: r.Failed}
	page, err := s.pick(cmd.Context(), everybody())
	if err != nil {
		return err
	}
	if !f.mesh.asJSON {
		return printClients(cmd.OutOrStdout(), s, &page, false)
	}
	report := struct {
		Relay string         `json:"relay"`
		Peers []control.Peer `json:"peers"`
	}{r.At, make([]control.Peer, len(page.Peers))}
	for i := range page.Peers {
		report.Peers[i] = control.PeerOf(&page.Peers[i])
	}
	return cli.WriteJSON(cmd.OutOrStdout(), report)
}

// everybody is the query of a whole list, by key.
func everybody() *clients.Query {
	q := new(clients.Query)
	if err := q.SortBy(clients.ByKey); err != nil {
		panic(err) // it is a column
	}
	return q
}
