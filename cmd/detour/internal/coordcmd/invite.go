package coordcmd

import (
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/coordapi"
)

func newInvite() *cobra.Command {
	var f netFlags
	var uses int
	span := cli.Span(10 * time.Minute)
	cmd := &cobra.Command{
		Use:   "invite NAME",
		Short: "Make an invite, by which others become members",
		Long: `Make an invite and print it, alone on standard output. Whoever has it becomes a
member with "detour join", once unless --uses says more, within --for. It has the
addresses of the coordinators and what to know them by, and it is a secret: it is not
shown again.` + exits,
		Example: `  detour net invite home
  detour net invite home --uses 20 --for 1d > invite.txt`,
		Args: cobra.ExactArgs(1),
		RunE: f.run(func(cmd *cobra.Command, a *asker, args []string) error {
			var made coordapi.Invited
			err := a.value(cmd.Context(), http.MethodPost, in("tailnets", args[0], "invites"), nil, coordapi.NewInvite{Uses: uses, For: time.Duration(span)}, &made)
			if err != nil {
				return noTailnet(err)
			}
			return f.printInvite(cmd, made)
		}),
	}
	cmd.ValidArgsFunction = f.tailnetFirst
	cmd.Flags().IntVar(&uses, "uses", 1, "how many may become members with it")
	cmd.Flags().Var(&span, "for", "how long it counts, a `time` such as 10m, 12h or 7d")
	inner := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if uses < 1 {
			return cli.Usagef("--uses %d: want 1 or more", uses)
		}
		return inner(cmd, args)
	}
	f.add(cmd)
	return cmd
}

func (f *netFlags) printInvite(cmd *cobra.Command, made coordapi.Invited) error {
	if f.asJSON {
		return cli.WriteJSON(cmd.OutOrStdout(), made)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), made.Text)
	fmt.Fprintf(cmd.ErrOrStderr(), "It counts %s, until %s (withdraw it by its ID, %s). The other machine runs:\n  detour join INVITE\n",
		times(made.Uses), made.Expires.Local().Format("15:04:05 on 2006-01-02"), made.ID)
	return err
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return cli.Counted(n, "time")
}

func newInvites() *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use:   "invites NAME",
		Short: "List the invites of a tailnet that still count",
		Long:  `List the invites of a tailnet that still count, without what makes them invites.` + exits,
		Args:  cobra.ExactArgs(1),
		RunE:  runList(&f, func(args []string) string { return in("tailnets", args[0], "invites") }, printInvites),
	}
	cmd.ValidArgsFunction = f.tailnetFirst
	f.add(cmd)
	return cmd
}

func printInvites(w io.Writer, args []string, all []coordapi.InviteState) error {
	if len(all) == 0 {
		_, err := fmt.Fprintf(w, "There is no invite that counts: detour net invite %s\n", args[0])
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tUSES LEFT\tUNTIL")
	for _, i := range all {
		fmt.Fprintf(table, "%s\t%d\t%s\n", i.ID, i.Uses, cli.Moment(i.Expires))
	}
	return table.Flush()
}

func newWithdraw() *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use:   "withdraw NAME ID...",
		Short: "Withdraw invites, which do not count any more",
		Long:  `Withdraw invites by their IDs. Who has become a member with one stays one.` + exits,
		Args:  cobra.MinimumNArgs(2),
		RunE: f.run(func(cmd *cobra.Command, a *asker, args []string) error {
			for _, id := range args[1:] {
				if err := a.value(cmd.Context(), http.MethodDelete, in("tailnets", args[0], "invites", id), nil, nil, nil); err != nil {
					return next(err, coordapi.CodeNotFound, fmt.Sprintf(`"detour net invites %s" has those that count`, args[0]))
				}
				if err := f.done(cmd, "withdrawn", id); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.ValidArgsFunction = f.tailnetFirst
	f.add(cmd)
	return cmd
}

// done says what became of something. The JSON is one object a line.
func (f *netFlags) done(cmd *cobra.Command, what, whom string) error {
	if f.asJSON {
		return cli.WriteJSON(cmd.OutOrStdout(), map[string]string{what: whom})
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", what, whom)
	return err
}
