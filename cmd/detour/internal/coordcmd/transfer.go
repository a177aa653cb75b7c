package coordcmd

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/smallfile"
)

// mostExport bounds what is written: a million members have some 300 MB.
const mostExport = 4 << 30

// stdio is the file that is standard input or output.
const stdio = "-"

func newExport() *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write down all tailnets, members, invites and relays",
		Long: `Write down all that a coordinator may not lose: tailnets, members, invites, relays
and the map, for "detour net import". Without FILE, or with -, it goes to standard
output. The file is for its owner alone, and appears whole or not at all.` + exits,
		Example: `  detour net export coord-$(date +%F).backup`,
		Args:    cobra.MaximumNArgs(1),
		RunE: f.run(func(cmd *cobra.Command, a *asker, args []string) error {
			answer, err := a.Ask(cmd.Context(), http.MethodGet, in("export"), nil, nil)
			if err != nil {
				return a.refused(err)
			}
			defer answer.Close()
			if len(args) == 0 || args[0] == stdio {
				_, err := io.Copy(cmd.OutOrStdout(), answer)
				return broke(a, err)
			}
			text, err := io.ReadAll(io.LimitReader(answer, mostExport))
			if err != nil {
				return broke(a, err)
			}
			if err := smallfile.WriteOver(args[0], text, smallfile.ModeSecret); err != nil {
				return err
			}
			if f.asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), map[string]any{"file": args[0], "bytes": len(text)})
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s has all of it, %s\n", args[0], cli.Bytes(int64(len(text))))
			return nil
		}),
	}
	f.add(cmd)
	return cmd
}

func broke(a *asker, err error) error {
	if err == nil {
		return nil
	}
	return cli.Unansweredf("%s: the export broke off: %w", a.At, err)
}

func newImport() *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Bring back what an export has written down",
		Long: `Bring back what "detour net export" has written down. What is there already stays
as it is, so an import that broke off can be made again.` + exits,
		Example: `  detour net import coord.backup`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from := cmd.InOrStdin()
			if args[0] != stdio {
				file, _, err := smallfile.Open(args[0])
				if err != nil {
					return cli.Usagef("%w", err)
				}
				defer file.Close()
				from = file
			}
			return f.run(func(cmd *cobra.Command, a *asker, _ []string) error {
				var done coordapi.Imported
				if err := a.send(cmd.Context(), http.MethodPost, in("import"), nil, from, &done); err != nil {
					return err
				}
				if f.asJSON {
					return cli.WriteJSON(cmd.OutOrStdout(), done)
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "brought back %s, %s, %s and %s; %s there already\n", cli.Counted(done.Tailnets, "tailnet"),
					cli.Counted(done.Members, "member"), cli.Counted(done.Invites, "invite"), cli.Counted(done.Relays, "relay"), wereKept(done.Kept))
				return err
			})(cmd, args)
		},
	}
	f.add(cmd)
	return cmd
}

func wereKept(n int) string {
	if n == 1 {
		return "1 was"
	}
	return fmt.Sprintf("%d were", n)
}
