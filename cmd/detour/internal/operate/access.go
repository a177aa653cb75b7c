package operate

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/running"
	"github.com/detour-relay/detour/internal/control"
)

// NewAccess returns the command "access".
func NewAccess() *cobra.Command {
	cmd := cli.NewGroup("access", "Say who may come into a running relay")
	cmd.Long = `Say who may come into a running relay: the keys of its own list, which it keeps
on disk, and those that are banned, whatever else lets them in. It takes effect
at once, also for who is connected.`
	cmd.AddCommand(newList(), newAllow(), newRemove(), newBan(), newUnban(), newImport())
	return cmd
}

// order are the flags of the commands that are about single keys.
type order struct {
	running.Target
	asJSON bool
	what   string // control.Allow, Remove, Ban or Unban
	label  string
	why    string
	span   cli.Span
}

func (o *order) command(cmd *cobra.Command) *cobra.Command {
	cmd.Use += " KEY..."
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) }
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON, and nothing else")
	o.Target = newTarget()
	o.Add(cmd.Flags())
	return cmd
}

func newAllow() *cobra.Command {
	o := order{what: control.Allow}
	cmd := o.command(&cobra.Command{
		Use:   "allow",
		Short: "Let keys in",
		Long: `Let keys in, by the relay's own list. One that is there already gets the label
and the end that are given now.

Exit status: 0 done, 1 refused for some, 2 wrong usage, 3 no relay could be
asked.`,
		Example: `  detour access allow nodekey:<hex> --label staff
  detour access allow nodekey:<hex> --label guests --for 30d`,
	})
	cmd.Flags().StringVar(&o.label, "label", "", "`label` by which the key is counted and limited")
	cmd.Flags().Var(&o.span, "for", "how long, a `time` such as 12h or 30d (default without end)")
	return cmd
}

func newRemove() *cobra.Command {
	o := order{what: control.Remove}
	return o.command(&cobra.Command{
		Use:   "remove",
		Short: "Take keys out of the relay's own list",
		Long: `Take keys out of the relay's own list, whether they were allowed or imported.
Those that nothing else lets in lose their connections. A key that stands in a
file is removed there.

Exit status: 0 done, 1 some were not there, 2 wrong usage, 3 no relay could be
asked.`,
		Example: `  detour access remove nodekey:<hex>`,
	})
}

func newBan() *cobra.Command {
	o := order{what: control.Ban}
	cmd := o.command(&cobra.Command{
		Use:   "ban",
		Short: "Keep keys out, whatever lets them in",
		Long: `Keep keys out, whatever lets them in, and cut off those that are connected.

Exit status: 0 done, 1 refused for some, 2 wrong usage, 3 no relay could be
asked.`,
		Example: `  detour access ban nodekey:<hex> --for 1h --why "scans the tailnet"`,
	})
	cmd.Flags().Var(&o.span, "for", "how long, a `time` such as 1h or 30d (default until unban)")
	cmd.Flags().StringVar(&o.why, "why", "", "the `reason`, for who reads the list")
	return cmd
}

func newUnban() *cobra.Command {
	o := order{what: control.Unban}
	return o.command(&cobra.Command{
		Use:   "unban",
		Short: "End the bans of keys",
		Long: `End the bans of keys. Whether they may come in is again for the lists to say.

Exit status: 0 done, 1 some were not banned, 2 wrong usage, 3 no relay could be
asked.`,
		Example: `  detour access unban nodekey:<hex>`,
	})
}

func (o *order) run(cmd *cobra.Command, args []string) error {
	keys, err := parseKeys(args)
	if err != nil {
		return err
	}
	for flag, text := range map[string]string{"--label": o.label, "--why": o.why} {
		if err := control.CheckText(text); err != nil {
			return cli.Usagef("%s: %w", flag, err)
		}
	}
	r, err := o.Open(cmd.Context())
	if err != nil {
		return err
	}
	defer r.Close()
	results, err := r.Order(cmd.Context(), o.what, control.Order{
		Keys: keys, Label: o.label, Why: o.why, For: int64(time.Duration(o.span) / time.Second),
	})
	return printResults(cmd.OutOrStdout(), o.asJSON, results, r.Failed(err), o.done)
}

// done says what became of a key.
func (o *order) done(r control.Result) string {
	switch o.what {
	case control.Allow:
		return "is allowed" + o.during() + labelled(o.label)
	case control.Remove:
		if r.Still != "" {
			return "is removed, and still let in by " + r.Still
		}
		return "is removed"
	case control.Ban:
		return "is banned" + o.during() + cut(r.Conns)
	}
	return "is banned no more"
}

func (o *order) during() string {
	if o.span == 0 {
		return ""
	}
	return " for " + o.span.String()
}

func labelled(label string) string {
	if label == "" {
		return ""
	}
	return ", with the label " + label
}

func cut(conns int) string {
	if conns == 0 {
		return ""
	}
	return ", and " + cli.Counted(conns, "connection") + " cut"
}

// printResults has a line for each key; the error says what was not done. That of a
// single key is not said twice.
func printResults(w io.Writer, asJSON bool, results []control.Result, failed error, done func(control.Result) string) error {
	if asJSON && (failed == nil || len(results) > 0) {
		if err := cli.WriteJSON(w, control.Results{Results: results}); err != nil {
			return err
		}
	}
	left := 0
	for _, r := range results {
		text := done(r)
		if r.Error != "" {
			left, text = left+1, r.Error
			if len(results) == 1 && !asJSON {
				return errors.New(r.Key.String() + ": " + r.Error)
			}
		}
		if asJSON {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s %s\n", r.Key, text); err != nil {
			return err
		}
	}
	switch {
	case failed != nil:
		return failed
	case left > 0 && asJSON:
		return cli.SaidBad()
	case left > 0:
		return fmt.Errorf("not done for %d of %d keys", left, len(results))
	}
	return nil
}
