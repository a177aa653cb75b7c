package coordcmd

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/coordapi"
)

func newRelay() *cobra.Command {
	cmd := cli.NewGroup("relay", "Say which relays may ask who is a member")
	cmd.AddCommand(newRelayAdd(), newRelayList(), newRelayRemove())
	return cmd
}

func newRelayAdd() *cobra.Command {
	var f netFlags
	var tailnets []string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make the token by which a relay asks",
		Long: `Make the token by which a relay asks who is a member, and print it, alone on
standard output. It is not shown again. Without --tailnet the relay lets in the members
of all tailnets.` + exits,
		Example: `  detour net relay add fra1 > coord.token
  detour net relay add guests --tailnet visitors`,
		Args: cobra.ExactArgs(1),
		RunE: f.run(func(cmd *cobra.Command, a *asker, args []string) error {
			var added coordapi.AddedRelay
			if err := a.value(cmd.Context(), http.MethodPost, in("relays"), nil, coordapi.NewRelay{Name: args[0], Tailnets: tailnets}, &added); err != nil {
				return noTailnet(next(err, coordapi.CodeConflict, `"detour net relay list" has all there are`))
			}
			if f.asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), added)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), added.Token)
			fmt.Fprintf(cmd.ErrOrStderr(), "This is the token of relay %s. Stock derper takes it in its URL:\n  derper --verify-client-url https://COORDINATOR%s/TOKEN\n", added.Name, coordapi.PathVerify)
			return err
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringSliceVar(&tailnets, "tailnet", nil, "only about the members of this `tailnet`; may be repeated")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("tailnet", f.tailnets))
	f.add(cmd)
	return cmd
}

func newRelayList() *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use:               "list",
		Short:             "List the relays that may ask",
		Long:              `List the relays that have a token.` + exits,
		Args:              cobra.NoArgs,
		RunE:              runList(&f, func([]string) string { return in("relays") }, printRelays),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.add(cmd)
	return cmd
}

func printRelays(w io.Writer, _ []string, all []coordapi.Relay) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "No relay has a token: detour net relay add NAME")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tTAILNETS\tCREATED")
	for _, r := range all {
		of := "all"
		if len(r.Tailnets) > 0 {
			of = strings.Join(r.Tailnets, ",")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", r.Name, of, cli.Moment(r.Created))
	}
	return table.Flush()
}

func newRelayRemove() *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use:   "remove NAME...",
		Short: "Have the tokens of relays not count any more",
		Long:  `Have the tokens of relays not count any more.` + exits,
		Args:  cobra.MinimumNArgs(1),
		RunE: f.run(func(cmd *cobra.Command, a *asker, args []string) error {
			for _, name := range args {
				if err := a.value(cmd.Context(), http.MethodDelete, in("relays", name), nil, nil, nil); err != nil {
					return next(err, coordapi.CodeNotFound, `"detour net relay list" has all there are`)
				}
				if err := f.done(cmd, "removed", name); err != nil {
					return err
				}
			}
			return nil
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.add(cmd)
	return cmd
}
