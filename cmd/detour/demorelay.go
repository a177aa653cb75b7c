package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/mesh"
)

// demoDrain is the time over which the relays of a demo send their peers away.
// Whoever ends a demo waits for it.
const demoDrain = 500 * time.Millisecond

// A demoRelay is one relay of a demo.
type demoRelay struct {
	name    string // of its node in the map
	flags   *relayFlags
	process *relayProcess
	pin     string
}

// startDemoRelay binds the sockets of a relay, which has no siblings yet. With
// port 0 they take any free port.
func startDemoRelay(name string, host netip.Addr, port int, state demoState, meshKey string, log *slog.Logger) (*demoRelay, error) {
	at := net.JoinHostPort(host.String(), strconv.Itoa(port))
	flags, err := parseRelayFlags(
		"--tls", tlsSelf, "--hostname", host.String(), "--listen", at, "--stun", at,
		"--state-dir", state.relayDir(name), "--mesh-psk-file", meshKey, "--drain", demoDrain.String())
	if err != nil {
		return nil, err
	}
	r := &demoRelay{name: name, flags: flags}
	if r.process, err = startRelay(flags, nil, log.With("node", name)); err != nil {
		return nil, fmt.Errorf("relay %s: %w", name, portRemedy(err))
	}
	r.pin, _ = r.process.source.Trust()
	return r, nil
}

// parseRelayFlags reads a command line of "detour relay".
func parseRelayFlags(args ...string) (*relayFlags, error) {
	var f relayFlags
	cmd := &cobra.Command{Use: "relay"}
	f.define(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		return nil, err
	}
	return &f, f.settle(cmd.Flags().Changed)
}

// portRemedy says what to do about an address that is taken: the flags of a relay
// are not those of a demo.
func portRemedy(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || !errors.Is(op, addressInUse) {
		return err
	}
	return fmt.Errorf("%w: stop what listens there, or choose other ports with --port (0: any free ones)", op)
}

// link makes siblings of the other relays of the region. The links come up once
// the relays serve.
func (r *demoRelay) link(region []*demoRelay) (err error) {
	list := ""
	for _, other := range region {
		if other != r {
			list += fmt.Sprintf(",%s=%s", other.addr(), other.pin)
		}
	}
	if list == "" {
		return nil
	}
	r.flags.mesh.with = list[1:]
	if err = r.flags.mesh.settle(); err == nil {
		r.process.mesh, err = r.flags.mesh.open(r.process.relay, r.process.log)
	}
	return err
}

// unlinked returns a sibling to which there is no link yet; none: the relay has
// all its links.
func (r *demoRelay) unlinked() (sibling mesh.State, some bool) {
	if r.process.mesh == nil {
		return sibling, false
	}
	for _, s := range r.process.mesh.Siblings() {
		if s.Status != mesh.Linked {
			return s, true
		}
	}
	return sibling, false
}

func (r *demoRelay) addr() netip.AddrPort { return boundAddr(r.process.edge.Addr()) }

func (r *demoRelay) url() string { return r.process.url(r.flags.hostname, r.addr()) }

// node is the relay's entry in the map.
func (r *demoRelay) node(region int) *derpmap.Node {
	n := &derpmap.Node{
		Name: r.name, RegionID: region, HostName: r.flags.hostname, CertName: r.pin, IPv4: r.flags.hostname, IPv6: "none",
		DERPPort: int(r.addr().Port()), STUNPort: int(r.process.stun.addr().Port()),
	}
	if r.addr().Addr().Is6() {
		n.IPv4, n.IPv6 = n.IPv6, n.IPv4
	}
	return n
}
