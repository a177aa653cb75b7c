package coordcmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coordapi"
)

func newMembers() *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use:   "members NAME",
		Short: "List the members of a tailnet, and where each is",
		Long: `List the members of a tailnet: name, addresses, home region and since when,
whether each is connected to a coordinator, and with which version. A member whose key
two machines have is marked, with the addresses that both report from.` + exits,
		Example: `  detour net members home
  detour net members home --json`,
		Args: cobra.ExactArgs(1),
		RunE: f.run(func(cmd *cobra.Command, a *asker, args []string) error {
			all := []coordapi.Member{}
			err := a.lines(cmd.Context(), in("tailnets", args[0], "members"), func(line []byte) error {
				var m coordapi.Member
				if err := json.Unmarshal(line, &m); err != nil {
					return cli.Unansweredf("%s: the list cannot be read: %w", a.At, err)
				}
				all = append(all, m)
				return nil
			})
			if err != nil {
				return noTailnet(err)
			}
			if f.asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), all)
			}
			return printMembers(cmd.OutOrStdout(), args[0], all, a.regions(cmd.Context()))
		}),
	}
	cmd.ValidArgsFunction = f.tailnetFirst
	f.add(cmd)
	return cmd
}

// regions are the codes of the map's; empty where it cannot be had.
func (a *asker) regions(ctx context.Context) map[int]string {
	codes := make(map[int]string)
	var now coordapi.MapState
	if a.value(ctx, http.MethodGet, in("map"), nil, nil, &now) != nil {
		return codes
	}
	m, err := derpmap.Load(now.Map, derpmap.JSON)
	if err != nil {
		return codes
	}
	for _, id := range m.IDs() {
		codes[id] = m.Regions[id].RegionCode
	}
	return codes
}

// mostShown bounds what members say of themselves in a table.
const mostShown = 40

func printMembers(w io.Writer, tailnet string, all []coordapi.Member, regions map[int]string) error {
	if len(all) == 0 {
		_, err := fmt.Fprintf(w, "%s has no members yet: detour net invite %s\n", tailnet, tailnet)
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tADDRESSES\tHOME\tHOME SINCE\tONLINE\tVERSION\tNOTE")
	for _, m := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, joined(m.Addresses), homeText(m.Home, regions), cli.Filled(cli.Moment(m.HomeSince)),
			online(m), cli.Filled(cli.Clean(m.Version, mostShown)), note(m))
	}
	return table.Flush()
}

func joined[T fmt.Stringer](all []T) string {
	var texts []string
	for _, one := range all {
		texts = append(texts, one.String())
	}
	return cli.Filled(strings.Join(texts, ","))
}

func homeText(home int, regions map[int]string) string {
	if home == 0 {
		return "-"
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", home, cli.Clean(regions[home], mostShown)))
}

func online(m coordapi.Member) string {
	if m.Online {
		return "yes"
	}
	return "no"
}

func note(m coordapi.Member) string {
	var notes []string
	if m.Disabled {
		notes = append(notes, "disabled")
	}
	if len(m.Conflict) > 0 {
		notes = append(notes, "two machines have its key: "+joined(m.Conflict))
	}
	return cli.Filled(strings.Join(notes, "; "))
}

func newRemove() *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use:   "remove NAME MEMBER...",
		Short: "Remove members from a tailnet, at once",
		Long: `Remove members from a tailnet: by name, or by node key. The others are told, the
relays that ask this coordinator cut it off, and its addresses are free again. To come
back it needs another invite.` + exits,
		Example: `  detour net remove home laptop`,
		Args:    cobra.MinimumNArgs(2),
		RunE: f.run(func(cmd *cobra.Command, a *asker, args []string) error {
			for _, member := range args[1:] {
				if err := a.value(cmd.Context(), http.MethodDelete, in("tailnets", args[0], "members", member), nil, nil, nil); err != nil {
					return noMember(err, args[0])
				}
				if err := f.done(cmd, "removed", member); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.ValidArgsFunction = f.tailnetAndMembers
	f.add(cmd)
	return cmd
}

func newDisable() *cobra.Command {
	return newSwitch("disable", "Shut members out, until they are enabled again",
		`Shut members out of a tailnet, as if they were removed, but with their names and
addresses kept.`, true)
}

func newEnable() *cobra.Command {
	return newSwitch("enable", "Let members in again that were disabled", `Let members in again that were disabled.`, false)
}

func newSwitch(word, short, long string, disabled bool) *cobra.Command {
	var f netFlags
	cmd := &cobra.Command{
		Use: word + " NAME MEMBER...", Short: short, Long: long + exits, Args: cobra.MinimumNArgs(2),
		RunE: f.run(func(cmd *cobra.Command, a *asker, args []string) error {
			for _, member := range args[1:] {
				if err := f.change(cmd, a, args[0], member, coordapi.ChangeMember{Disabled: &disabled}, word+"d"); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.ValidArgsFunction = f.tailnetAndMembers
	f.add(cmd)
	return cmd
}

// change changes a member, and prints it, or what was done.
func (f *netFlags) change(cmd *cobra.Command, a *asker, tailnet, member string, to coordapi.ChangeMember, what string) error {
	var m coordapi.Member
	if err := a.value(cmd.Context(), http.MethodPatch, in("tailnets", tailnet, "members", member), nil, to, &m); err != nil {
		return noMember(err, tailnet)
	}
	if f.asJSON {
		return cli.WriteJSON(cmd.OutOrStdout(), m)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", member, what)
	return err
}
