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

func (f *netFlags) tailnets(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return f.offer(cmd, begun, func(ctx context.Context, a *asker, name func(string)) {
		var all []coordapi.Tailnet
		_ = a.value(ctx, http.MethodGet, in("tailnets"), nil, nil, &all)
		for _, t := range all {
			name(t.Name)
		}
	})
}

// tailnetAndMembers completes the name of a tailnet, and then those of its members.
func (f *netFlags) tailnetAndMembers(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return f.tailnets(cmd, args, begun)
	}
	return f.offer(cmd, begun, func(ctx context.Context, a *asker, name func(string)) {
		_ = a.lines(ctx, in("tailnets", args[0], "members"), func(line []byte) error {
			var m coordapi.Member
			err := json.Unmarshal(line, &m)
			if err == nil {
				name(m.Name)
			}
			return err
		})
	})
}

// offer completes what has begun with names that the coordinator tells: those that have
// come until the time is up, or the answer breaks off.
func (f *netFlags) offer(cmd *cobra.Command, begun string, ask func(ctx context.Context, a *asker, name func(string))) (names []string, _ cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
	defer cancel()
	a, err := f.open(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer a.Close()
	ask(ctx, a, func(name string) {
		if strings.HasPrefix(name, begun) && len(names) < mostOffered {
			names = append(names, name)
		}
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// mostOffered bounds what a shell is given to choose from.
const mostOffered = 1000
