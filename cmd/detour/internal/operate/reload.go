package operate

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/running"
	"github.com/detour-relay/detour/internal/control"
)

// NewReload returns the command "reload".
func NewReload() *cobra.Command {
	t := newTarget()
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a running relay take over its settings as they are now",
		Long: `Have a running relay take over its settings as they are now.

The relay reads its file of settings again, and the files that it names:
certificates, keys, lists. It prints what has changed. If anything is wrong,
nothing changes, and the command says why. SIGHUP does the same, and says it in
the log only.

What a running relay cannot change (its addresses, its key, its state
directory) is taken over by another process, without refusing a connection,
where that can be; elsewhere it is listed as needing a restart.

Exit status: 0 all is in effect, 1 something was wrong or needs a restart,
2 wrong usage, 3 no relay could be asked.`,
		Args: cobra.NoArgs,
		RunE: asking(&t, func(cmd *cobra.Command, r *running.Server) error {
			report, err := r.Reload(cmd.Context())
			return printReload(cmd.OutOrStdout(), asJSON, report, r.Failed(err))
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, and nothing else")
	t.Add(cmd.Flags())
	return cmd
}

func printReload(w io.Writer, asJSON bool, report control.Report, failed error) error {
	told := failed == nil || cli.ExitStatus(failed) == cli.ExitBad // the relay has answered
	if asJSON && told {
		report.Changed, report.Restart = orNone(report.Changed), orNone(report.Restart)
		if err := cli.WriteJSON(w, report); err != nil {
			return err
		}
		if failed != nil {
			return cli.SaidBad()
		}
		return nil
	}
	if err := printChanges(w, report, failed == nil); err != nil {
		return err
	}
	return failed
}

func orNone(changes []control.Change) []control.Change { return append([]control.Change{}, changes...) }

func printChanges(w io.Writer, report control.Report, fine bool) (err error) {
	line := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format+"\n", args...)
		}
	}
	for _, c := range report.Changed {
		line("%s: %s -> %s", c.Setting, shown(c.Old), shown(c.New))
	}
	for _, c := range report.Restart {
		line("%s: %s -> %s needs a restart", c.Setting, shown(c.Old), shown(c.New))
	}
	if fine && len(report.Changed) == 0 {
		line("no setting has changed; the files were read again")
	}
	return err
}

// shown is a value, of which there is something to see.
func shown(value string) string {
	if value == "" {
		return `""`
	}
	return value
}
