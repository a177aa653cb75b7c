package coordcmd

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/coordapi"
)

func newCreate() *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a tailnet",
		Long: `Make a tailnet, which has no members yet. Its name is a label of DNS: letters,
digits and dashes.` + exits,
		Example: `  detour net create home`,
		Args:    cobra.ExactArgs(1),
		RunE: f.run(func(cmd *cobra.Command, a *asker, args []string) error {
			var t coordapi.Tailnet
			err := a.value(cmd.Context(), http.MethodPost, in("tailnets"), nil, coordapi.NewTailnet{Name: args[0]}, &t)
			if err != nil {
				return next(err, coordapi.CodeConflict, fmt.Sprintf(`"detour net show %s" shows it`, args[0]))
			}
			if f.asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), t)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "The tailnet %s is there: %s and %s. Invite members with:\n  detour net invite %s%s\n", t.Name, t.Prefix4, t.Prefix6, t.Name, f.given)
			return err
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.add(cmd)
	return cmd
}

func newList() *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use:               "list",
		Short:             "List the tailnets",
		Long:              `List the tailnets of the coordinator.` + exits,
		Args:              cobra.NoArgs,
		RunE:              runList(&f, func([]string) string { return in("tailnets") }, printTailnets),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.add(cmd)
	return cmd
}

func printTailnets(w io.Writer, _ []string, all []coordapi.Tailnet) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "There is no tailnet yet: detour net create NAME")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tMEMBERS\tONLINE\tINVITES\tADDRESSES\tCREATED")
	for _, t := range all {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\t%s\n", t.Name, t.Members, t.Online, t.Invites, t.Prefix4, t.Created.UTC().Format(time.DateOnly))
	}
	return table.Flush()
}

func newShow() *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a tailnet",
		Long:  `Show a tailnet: its addresses, and how many members and invites it has.` + exits,
		Args:  cobra.ExactArgs(1),
		RunE: f.run(func(cmd *cobra.Command, a *asker, args []string) error {
			var t coordapi.Tailnet
			if err := a.value(cmd.Context(), http.MethodGet, in("tailnets", args[0]), nil, nil, &t); err != nil {
				return noTailnet(err)
			}
			if f.asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), t)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "name       %s\nid         %s\ncreated    %s\naddresses  %s\n           %s\nmembers    %d, %d online\ninvites    %d\n",
				t.Name, t.ID, cli.Moment(t.Created), t.Prefix4, t.Prefix6, t.Members, t.Online, t.Invites)
			return err
		}),
	}
	cmd.ValidArgsFunction = f.tailnetFirst
	f.add(cmd)
	return cmd
}

func newRename() *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use:   "rename NAME [MEMBER] NEW",
		Short: "Give a tailnet, or a member of it, another name",
		Long: `Give a tailnet another name, or with three arguments a member of it. The others
are told of it. A member keeps its addresses.` + exits,
		Example: `  detour net rename home house
  detour net rename home laptop-2 old-laptop`,
		Args: cobra.RangeArgs(2, 3),
		RunE: f.run(func(cmd *cobra.Command, a *asker, args []string) error {
			if len(args) == 3 {
				return f.change(cmd, a, args[0], args[1], coordapi.ChangeMember{Name: args[2]}, "renamed to "+args[2])
			}
			var t coordapi.Tailnet
			if err := a.value(cmd.Context(), http.MethodPatch, in("tailnets", args[0]), nil, coordapi.Rename{Name: args[1]}, &t); err != nil {
				return noTailnet(err)
			}
			if f.asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), t)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is called %s now\n", args[0], t.Name)
			return err
		}),
	}
	cmd.ValidArgsFunction = f.tailnetFirst
	f.add(cmd)
	return cmd
}

func newDelete() *cobra.Command {
	var f netFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a tailnet, with all members and invites",
		Long: `Delete a tailnet, with all members and invites. Who is connected is told at once
that it is no member any more. It asks before, unless --yes is given.` + exits,
		Args: cobra.ExactArgs(1),
		RunE: f.run(func(cmd *cobra.Command, a *asker, args []string) error {
			var t coordapi.Tailnet
			if err := a.value(cmd.Context(), http.MethodGet, in("tailnets", args[0]), nil, nil, &t); err != nil {
				return noTailnet(err)
			}
			if err := confirm(cmd, t, yes); err != nil {
				return err
			}
			if err := a.value(cmd.Context(), http.MethodDelete, in("tailnets", args[0]), nil, nil, nil); err != nil {
				return noTailnet(err)
			}
			if f.asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), t)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "deleted %s with %s\n", t.Name, cli.Counted(t.Members, "member"))
			return err
		}),
	}
	cmd.ValidArgsFunction = f.tailnetFirst
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	f.add(cmd)
	return cmd
}

// confirm asks a person. A program has to say that it means it.
func confirm(cmd *cobra.Command, t coordapi.Tailnet, yes bool) error {
	if yes {
		return nil
	}
	in := cmd.InOrStdin()
	if w, ok := in.(io.Writer); !ok || !cli.IsTerminal(w) {
		return cli.Usagef("this deletes %s with %s for good: add --yes if you mean it", t.Name, cli.Counted(t.Members, "member"))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "This deletes %s with %s for good. Write its name to go on: ", t.Name, cli.Counted(t.Members, "member"))
	line, _ := bufio.NewReader(in).ReadString('\n')
	if strings.TrimSpace(line) != t.Name {
		return fmt.Errorf("nothing was deleted: that is not %s", t.Name)
	}
	return nil
}
