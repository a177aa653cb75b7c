package operate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/running"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/setup"
)

// NewMapPin returns the command "map pin".
func NewMapPin() *cobra.Command {
	t := newTarget()
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "pin",
		Short: "Print the nodes of a map that lead to a running relay and pin its certificates",
		Long: `Print the nodes of a map that lead to a running relay and pin its certificates.

A relay with a certificate of its own (--tls self) is trusted by its pin, and each
certificate has another one. The next certificate is made 60 days before the end of
the one that peers see, and shown to them in its last 14 days. As soon as there is
one this prints two nodes, for the map to have both.

Clients of Detour try one after the other, so both can stand in the map until the
change is over. Tailscale's clients take the first node whose port answers, and
never look at the other: for them change the order of the two on the day of the
change. Who is connected on that day stays connected.

Where peers reach the relay by another port than the one that it listens on, change
DERPPort; if the region has other nodes already, RegionID and Name.

Exit status: 0 here they are, 1 the relay has no TLS, or no certificate yet, 2 wrong
usage, 3 no relay could be asked.`,
		Args: cobra.NoArgs,
		RunE: asking(&t, func(cmd *cobra.Command, r *running.Server) error {
			status, err := r.Status(cmd.Context())
			if err != nil {
				return r.Failed(err)
			}
			settings, err := r.Settings(cmd.Context())
			if err != nil {
				return r.Failed(err)
			}
			nodes, err := pinnedNodes(status, settings)
			if err != nil {
				return err
			}
			if asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), nodes)
			}
			return printPinned(cmd.OutOrStdout(), nodes)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, and nothing else")
	t.Add(cmd.Flags())
	return cmd
}

// A pinnedNode is one of a map, for as long as the relay shows its certificate. Its JSON
// names are stable.
type pinnedNode struct {
	From  time.Time    `json:"from,omitzero"`
	Until time.Time    `json:"until,omitzero"` // zero: nobody knows yet
	Node  derpmap.Node `json:"node"`
}

// pinnedNodes makes them from what a relay says of itself.
func pinnedNodes(status, settings json.RawMessage) ([]pinnedNode, error) {
	var now struct {
		Certificate *certs.Description `json:"certificate"`
	}
	set := make(map[string]string)
	if err := errors.Join(json.Unmarshal(status, &now), json.Unmarshal(settings, &set)); err != nil {
		return nil, cli.Unansweredf("the relay answers what this program does not understand: %w", err)
	}
	shown := now.Certificate
	switch {
	case shown == nil:
		return nil, fmt.Errorf("the relay has no TLS, and so no certificate: choose self with --tls")
	case shown.Missing != "":
		return nil, fmt.Errorf("the relay has no certificate yet: %s", shown.Missing)
	}
	host, port, stun := set["hostname"], portOf(set["listen"], derpmap.DefaultDERPPort), stunPortOf(set)
	if host == "" && len(shown.Names) > 0 {
		host = shown.Names[0]
	}
	if set["tls.mode"] != config.TLSSelf { // its next one would have another pin, on a day that nobody knows
		return []pinnedNode{{shown.From, shown.Until, setup.Node(host, "", port, stun)}}, nil
	}
	nodes := []pinnedNode{{shown.From, shown.Until, setup.Node(host, shown.Pin, port, stun)}}
	if shown.NextPin != "" && shown.NextFrom != nil {
		nodes[0].Until = *shown.NextFrom
		next := setup.Node(host, shown.NextPin, port, stun)
		next.Name = strings.TrimSuffix(next.Name, "a") + "b"
		nodes = append(nodes, pinnedNode{From: *shown.NextFrom, Node: next})
	}
	return nodes, nil
}

// portOf is the port of an address; 0 stands for whatever is free, which nobody can know.
func portOf(address string, otherwise uint16) uint16 {
	_, text, err := net.SplitHostPort(address)
	port, lookupErr := net.LookupPort("tcp", text)
	if err != nil || lookupErr != nil || port == 0 {
		return otherwise
	}
	return uint16(port)
}

func stunPortOf(set map[string]string) uint16 {
	if set["stun"] == config.STUNOff {
		return 0
	}
	return portOf(set["stun"], derpmap.DefaultSTUNPort)
}

// printPinned prints the nodes as they stand in a map, each beneath its time.
func printPinned(w io.Writer, nodes []pinnedNode) error {
	var b strings.Builder
	for i, n := range nodes {
		text, err := json.Marshal(n.Node)
		if err != nil {
			return err
		}
		switch {
		case n.Node.CertName == "":
			fmt.Fprintln(&b, "An authority vouches for the certificate: a map needs no pin.")
		case i > 0:
			fmt.Fprintf(&b, "from %s\n", n.From.Format(time.DateOnly))
		default:
			fmt.Fprintf(&b, "until %s\n", n.Until.Format(time.DateOnly))
		}
		fmt.Fprintf(&b, "  %s\n", text)
	}
	if len(nodes) > 1 {
		fmt.Fprintf(&b, "Have both in the map. For Tailscale's clients, which look at the first only, change their order on %s.\n", nodes[1].From.Format(time.DateOnly))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
