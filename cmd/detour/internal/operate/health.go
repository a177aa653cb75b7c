package operate

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/running"
	"github.com/detour-relay/detour/internal/health"
)

// NewHealth returns the command "health".
func NewHealth() *cobra.Command {
	t := newTarget()
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a running relay whether it is well",
		Long: `Ask a running relay whether it is well: whether it wants peers now.

It prints "ready", or why not: the relay drains, fails its self-check, has no
certificate yet, or has used up its quota. Supervisors of containers run it,
since it needs no shell, no port and no key. "detour check" looks from outside,
and at everything.

Exit status: 0 ready, 1 not ready, 2 wrong usage, 3 no relay could be asked.`,
		Args: cobra.NoArgs,
		RunE: asking(&t, func(cmd *cobra.Command, r *running.Server) error {
			text, err := r.Status(cmd.Context())
			if err != nil {
				return r.Failed(err)
			}
			well, said, err := condition(text)
			if err != nil {
				return cli.Unansweredf("%s: %w", r.At, err)
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), said); err != nil || well {
				return err
			}
			return cli.SaidBad()
		}),
	}
	t.Add(cmd.Flags())
	return cmd
}

// condition reads a status.
func condition(text []byte) (well bool, said string, err error) {
	var status struct{ Health *health.Snapshot }
	if err := json.Unmarshal(text, &status); err != nil || status.Health == nil {
		return false, "", fmt.Errorf("the status says nothing of health: is this a relay?")
	}
	h := status.Health
	switch {
	case h.Healthy:
		return true, "ready", nil
	case h.Reason == health.SelfCheckFailed && h.SelfCheck != nil:
		return false, fmt.Sprintf("%s: %s", h.Reason, h.SelfCheck.Error), nil
	}
	return false, string(h.Reason), nil
}
