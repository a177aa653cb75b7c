package operate

import (
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/running"
	"github.com/detour-relay/detour/internal/control"
)

// NewPage returns the command "page".
func NewPage() *cobra.Command {
	t := newTarget()
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "page",
		Short: "Print a link that signs a browser in to a running relay's page",
		Long: `Print a link that signs a browser in to a running relay's page.

The page shows all of the relay at a glance; who is signed in can ban keys, close
connections, reload and drain there. The link counts once, and for a minute. The
relay needs --admin, a loopback address, or --admin-https for it.

Exit status: 0 the link is printed, 1 the relay has no page, 2 wrong usage, 3 no
relay could be asked.`,
		Args: cobra.NoArgs,
		RunE: asking(&t, func(cmd *cobra.Command, r *running.Server) error {
			link, err := r.SignIn(cmd.Context())
			if err != nil {
				return r.Failed(err)
			}
			if asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), link)
			}
			return printLink(cmd.OutOrStdout(), cmd.ErrOrStderr(), link)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, and nothing else")
	t.Add(cmd.Flags())
	return cmd
}

// printLink prints the links, and says how another machine's browser gets there.
func printLink(out, talk io.Writer, link control.SignIn) error {
	for _, u := range link.URLs {
		if _, err := fmt.Fprintln(out, u); err != nil {
			return err
		}
	}
	fmt.Fprintf(talk, "It counts once, until %s.\n", link.Until.Local().Format(time.TimeOnly))
	if len(link.URLs) == 1 {
		if u, err := url.Parse(link.URLs[0]); err == nil && u.Scheme == "http" {
			fmt.Fprintf(talk, "For a browser on another machine: ssh -L %s:%s HOST there, first.\n", u.Port(), u.Host)
		}
	}
	return nil
}

// NewDrain returns the command "drain".
func NewDrain() *cobra.Command {
	t := newTarget()
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Have a running relay send its peers elsewhere, and end",
		Long: `Have a running relay send its peers elsewhere, and end.

It does what SIGTERM does: peers are told to connect to another relay of the
region, spread over --drain, and when they have left the process ends. A service
manager that restarts it (Restart=always) has it serve again after that.

Exit status: 0 it drains, 1 it refused, 2 wrong usage, 3 no relay could be asked.`,
		Args: cobra.NoArgs,
		RunE: asking(&t, func(cmd *cobra.Command, r *running.Server) error {
			if err := r.Drain(cmd.Context()); err != nil {
				return r.Failed(err)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "the relay drains")
			return err
		}),
	}
	t.Add(cmd.Flags())
	return cmd
}
