package coordcmd

import (
	"context"
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
