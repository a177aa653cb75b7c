package coordcmd

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/internal/coordapi"
)

// completeTime bounds the question that a shell waits for.
const completeTime = 2 * time.Second

// tailnetFirst completes the name of a tailnet as the first argument, from the
// coordinator.
func (f *netFlags) tailnetFirst(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return f.tailnets(cmd, args, begun)
}

func (f *netFlags) tailnets(cmd *cobra.Command, _ []string, begun string) (names []string, _ cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
	defer cancel()
	a, err := f.open(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer a.Close()
	var all []coordapi.Tailnet
	if a.value(ctx, http.MethodGet, in("tailnets"), nil, nil, &all) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, t := range all {
		if strings.HasPrefix(t.Name, begun) {
			names = append(names, t.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// tailnetAndMembers completes the name of a tailnet, and then those of its members.
func (f *netFlags) tailnetAndMembers(cmd *cobra.Command, args []string, begun string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) == 0 {
		return f.tailnets(cmd, args, begun)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
	defer cancel()
	a, err := f.open(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer a.Close()
	// What has come until then is offered, if the list breaks off.
	_ = a.lines(ctx, in("tailnets", args[0], "members"), func(line []byte) error {
		var m coordapi.Member
		err := json.Unmarshal(line, &m)
		if err == nil && strings.HasPrefix(m.Name, begun) && len(names) < mostOffered {
			names = append(names, m.Name)
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// mostOffered bounds what a shell is given to choose from.
const mostOffered = 1000
