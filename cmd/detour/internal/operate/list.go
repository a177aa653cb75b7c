package operate

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/running"
	"github.com/detour-relay/detour/internal/control"
)

// states are the values of --state.
var states = []string{control.Allowed, control.Expired, control.Banned}

func newList() *cobra.Command {
	t := newTarget()
	var f control.Filter
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [KEY...]",
		Short: "List the keys that may come in, and those that are banned",
		Long: `List the keys that may come in, by files and by the relay's own list, and those
that are banned; all of them, or those that are given. Whom other sources let
in (--access-verify, --access-tailscaled) is not among them: "detour clients"
shows all who are connected.

What --json prints, "detour access import" reads.

Exit status: 0 listed, 1 a given key is not in the list, 2 wrong usage, 3 no
relay could be asked.`,
		Example: `  detour access list
  detour access list --state banned
  detour access list nodekey:<hex>`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if f.Keys, err = parseKeys(args); err != nil {
				return err
			}
			if f.State != "" && !slices.Contains(states, f.State) {
				return cli.Usagef("--state %q: choose allowed, expired or banned", f.State)
			}
			r, err := t.Open(cmd.Context())
			if err != nil {
				return err
			}
			defer r.Close()
			return list(cmd, r, f, asJSON)
		},
	}
	cmd.Flags().StringVar(&f.State, "state", "", "only those in this `state`: allowed, expired or banned")
	cmd.Flags().StringVar(&f.Label, "label", "", "only those with this `label`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, and nothing else")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(states, cobra.ShellCompDirectiveNoFileComp)))
	t.Add(cmd.Flags())
	return cmd
}

func list(cmd *cobra.Command, r *running.Server, f control.Filter, asJSON bool) error {
	out := bufio.NewWriter(cmd.OutOrStdout())
	var to lines = newTable(out)
	if asJSON {
		to = &jsonLines{out: out}
	}
	missing := make(map[string]bool)
	for _, k := range f.Keys {
		missing[k.String()] = true
	}
	if len(f.Keys) > mostAsked { // an address has room for so many
		return cli.Usagef("%d keys are too many to ask for at once: list all of them, without KEY", len(f.Keys))
	}
	err := r.Lines(cmd.Context(), f, func(l control.Line) error {
		delete(missing, l.Key.String())
		return to.add(l)
	})
	if err != nil {
		return r.Failed(err)
	}
	if err := to.end(); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if n := len(missing); n > 0 {
		return fmt.Errorf("%d of %d keys are not in the list", n, len(f.Keys))
	}
	return nil
}

// mostAsked keys fit into the head of a request.
const mostAsked = 100

// lines prints the list as it comes: it may be long.
type lines interface {
	add(control.Line) error
	end() error
}

// alignedLines are so many at a time whose columns stand below each other.
const alignedLines = 10_000

type table struct {
	*tabwriter.Writer
	n int
}

func newTable(w io.Writer) *table {
	return &table{Writer: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
}

func (t *table) add(l control.Line) error {
	if t.n == 0 {
		fmt.Fprintln(t, "KEY\tSTATE\tLABEL\tFROM\tUNTIL\tCONNECTED\tABOUT")
	}
	connected, about := "no", l.Name
	if l.Connected {
		connected = "yes"
	}
	if l.Why != "" {
		about = l.Why
	}
	_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Key, l.State, cli.Filled(l.Label), cli.Filled(l.From), cli.Filled(cli.Moment(l.Until)), connected, cli.Filled(about))
	if t.n++; t.n%alignedLines == 0 && err == nil {
		err = t.Flush()
	}
	return err
}

func (t *table) end() error {
	if t.n == 0 {
		fmt.Fprintln(t, "no key is listed")
	}
	return t.Flush()
}

// jsonLines prints {"entries": [...], "bans": [...]}; bans come last.
type jsonLines struct {
	out  *bufio.Writer
	n    int
	bans []control.Line
}

func (j *jsonLines) add(l control.Line) error {
	if l.State == control.Banned {
		j.bans = append(j.bans, l)
		return nil
	}
	separator := ","
	if j.n == 0 {
		separator = `{"entries":[`
	}
	j.n++
	text, err := json.Marshal(l)
	if err == nil {
		_, err = fmt.Fprintf(j.out, "%s%s", separator, text)
	}
	return err
}

func (j *jsonLines) end() error {
	if j.n == 0 {
		j.out.WriteString(`{"entries":[`)
	}
	text, err := json.Marshal(append([]control.Line{}, j.bans...))
	if err == nil {
		_, err = fmt.Fprintf(j.out, "],\"bans\":%s}\n", text)
	}
	return err
}
