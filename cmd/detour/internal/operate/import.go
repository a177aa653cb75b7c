package operate

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/running"
	"github.com/detour-relay/detour/internal/admit"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/smallfile"
)

type importing struct {
	running.Target
	order  control.ImportOrder
	label  string
	asJSON bool
}

func newImport() *cobra.Command {
	var f importing
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Let in the keys of a list, in place of those it had before",
		Long: `Let in the keys of a list, in place of those that the same set had before: what
is new comes, what is not in the list any more goes, and loses its connection.
Keys that were allowed one by one, and other sets, stay.

A list is one of:
  a file with one nodekey:... a line, its label and its end
  the output of "tailscale status --json"
  the output of "headscale nodes list -o json"
  the answer of Tailscale's device-list API
  the output of "detour access list --json"

So a machine that knows the network can push its keys, and the relay holds no
password of it. A list with no keys, or without most of those of before, is
refused without --force: it may have been cut off on its way.

Exit status: 0 done, 1 refused, 2 wrong usage or no list, 3 no relay could be
asked.`,
		Example: `  tailscale status --json | detour access import -
  headscale nodes list -o json | detour access import --set headscale --label staff -
  detour access import --dry-run keys.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.order.Set, "set", "default", "`name` of the set that the list is")
	flags.StringVar(&f.label, "label", "", "`label` for the keys that have none in the list")
	flags.BoolVar(&f.order.Force, "force", false, "also if no keys, or only a few, are left of the set")
	flags.BoolVarP(&f.order.DryRun, "dry-run", "n", false, "only say what would come and go")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON, and nothing else")
	f.Target = newTarget()
	f.Add(flags)
	return cmd
}

func (f *importing) run(cmd *cobra.Command, file string) error {
	for flag, text := range map[string]string{"--label": f.label, "--set": f.order.Set} {
		if err := control.CheckText(text); err != nil {
			return cli.Usagef("%s: %w", flag, err)
		}
	}
	entries, err := f.read(cmd.InOrStdin(), file)
	if err != nil {
		return err
	}
	r, err := f.Open(cmd.Context())
	if err != nil {
		return err
	}
	defer r.Close()
	done, err := r.Import(cmd.Context(), f.order, entries)
	if err != nil {
		return r.Failed(err)
	}
	if f.asJSON {
		return cli.WriteJSON(cmd.OutOrStdout(), done)
	}
	return printImport(cmd.OutOrStdout(), done)
}

// read returns the entries of a list. One without any is for --force to decide.
func (f *importing) read(stdin io.Reader, file string) ([]control.Entry, error) {
	text, err := readList(stdin, file)
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	found, err := admit.ParseImport(text)
	if errors.Is(err, admit.ErrEmptyImport) && f.order.Force {
		found, err = nil, nil
	}
	if file == "-" {
		file = "standard input"
	}
	if err != nil {
		return nil, cli.Usagef("%s: %w", file, err)
	}
	entries := make([]control.Entry, len(found))
	for i, e := range found {
		entries[i] = control.Entry{Key: e.Key, Label: e.Label, Name: e.Name, Until: e.Until}
		if e.Label == "" {
			entries[i].Label = f.label
		}
	}
	return entries, nil
}

func readList(stdin io.Reader, file string) ([]byte, error) {
	if file != "-" {
		return smallfile.Read(file, admit.MostImport)
	}
	text, err := io.ReadAll(io.LimitReader(stdin, admit.MostImport+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("standard input: %w", err)
	case len(text) > admit.MostImport:
		return nil, fmt.Errorf("standard input is larger than %d MiB: is this the right list?", admit.MostImport>>20)
	}
	return text, nil
}

func printImport(w io.Writer, done control.Imported) (err error) {
	line := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format+"\n", args...)
		}
	}
	verbs := "%s: %s; %d came, %d went, %d changed, %d stayed"
	if done.DryRun {
		verbs = "%s: %s; %d would come, %d would go, %d would change, %d would stay"
	}
	line(verbs, done.Set, cli.Counted(done.Keys, "key"), done.CameTotal, done.WentTotal, done.ChangedTotal, done.Same)
	for _, group := range []struct {
		sign  string
		keys  []control.Came
		total int
	}{{"+", done.Came, done.CameTotal}, {"-", done.Went, done.WentTotal}, {"~", done.Changed, done.ChangedTotal}} {
		for _, c := range group.keys {
			line("%s %s%s%s", group.sign, c.Key, before(" ", c.Label), before("  # ", c.Name))
		}
		if more := group.total - len(group.keys); more > 0 {
			line("%s and %d more", group.sign, more)
		}
	}
	return err
}

func before(sign, text string) string {
	if text == "" {
		return ""
	}
	return sign + text
}
