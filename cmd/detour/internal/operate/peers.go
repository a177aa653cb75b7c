package operate

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/running"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/key"
)

// NewPeers returns the command "peers".
func NewPeers() *cobra.Command {
	cmd := cli.NewGroup("peers", "List and close the connections of a relay's peers")
	cmd.AddCommand(newPeersList(), newPeersClose())
	return cmd
}

// peersFlags are those of both ways to the relay: as its operator, or as a sibling.
type peersFlags struct {
	running.Target
	mesh rosterFlags
}

func (f *peersFlags) define(cmd *cobra.Command) {
	f.mesh.add(cmd.Flags())
	f.Target = newTarget()
	f.Add(cmd.Flags())
}

// meshOnly are the flags of who asks as a sibling.
var meshOnly = []string{"mesh-psk-file", "insecure", "ca", "cert-name"}

// local makes sure that no flag is for the other way.
func (f *peersFlags) local(cmd *cobra.Command, more ...string) error {
	return cli.Unused(cmd, "without a URL", append(more, meshOnly...)...)
}

func (f *peersFlags) remote() error {
	if f.Given() {
		return cli.Usagef("a URL is asked with the mesh key, and --admin-socket and --admin-url are another way: leave one out")
	}
	return nil
}

func isURL(text string) bool { return strings.Contains(text, "://") }

// printPeers prints the connections there are, in the order of their keys.
func printPeers(cmd *cobra.Command, f *peersFlags) error {
	r, err := f.Open(cmd.Context())
	if err != nil {
		return err
	}
	defer r.Close()
	peers := []control.Peer{}
	err = r.Peers(cmd.Context(), func(p control.Peer) error { peers = append(peers, p); return nil })
	if err != nil {
		return r.Failed(err)
	}
	slices.SortFunc(peers, func(a, b control.Peer) int {
		if c := a.Key.Compare(b.Key); c != 0 {
			return c
		}
		return a.Since.Compare(b.Since)
	})
	out := bufio.NewWriter(cmd.OutOrStdout())
	if f.mesh.asJSON {
		err = json.NewEncoder(out).Encode(struct {
			Relay string         `json:"relay"`
			Peers []control.Peer `json:"peers"`
		}{r.At, peers})
	} else {
		err = tablePeers(out, peers)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

func tablePeers(w io.Writer, peers []control.Peer) error {
	if len(peers) == 0 {
		_, err := fmt.Fprintln(w, "nobody is connected")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tADDRESS\tSINCE\tLABEL\tFLAGS\tIN\tOUT\tAPP")
	for i, p := range peers {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Key, cli.Filled(p.Addr), p.Since.Format(time.RFC3339), cli.Filled(p.Label), cli.Filled(flagsOf(p)),
			cli.Bytes(int64(p.Received)), cli.Bytes(int64(p.Sent)), cli.Filled(cli.Clean(p.App, 40)))
		if i%alignedLines == alignedLines-1 {
			if err := t.Flush(); err != nil {
				return err
			}
		}
	}
	return t.Flush()
}

// flagsOf has the words of "peers list URL", and those that only the relay knows.
func flagsOf(p control.Peer) string {
	var words []string
	for _, f := range []struct {
		is   bool
		word string
	}{{p.Home, "home"}, {p.Sibling, "mesh"}, {p.Prober, "prober"}, {p.IdealNode != "", "not-ideal"}, {p.Duplicate, "duplicate"}} {
		if f.is {
			words = append(words, f.word)
		}
	}
	return strings.Join(words, ",")
}

// closeHere closes the connections of keys at the relay of this machine.
func closeHere(cmd *cobra.Command, f *peersFlags, keys []key.Public) error {
	r, err := f.Open(cmd.Context())
	if err != nil {
		return err
	}
	defer r.Close()
	results, err := r.ClosePeers(cmd.Context(), keys)
	return printResults(cmd.OutOrStdout(), f.mesh.asJSON, results, r.Failed(err), func(c control.Result) string {
		return cli.Counted(c.Conns, "connection") + " closed"
	})
}
