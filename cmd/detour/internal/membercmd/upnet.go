package membercmd

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/agent"
	"github.com/detour-relay/detour/internal/agent/hostnet"
	"github.com/detour-relay/detour/internal/agent/usernet"
)

const (
	usualMTU = 1280
	leastMTU = 1280  // that of IPv6
	mostMTU  = 65000 // so that a packet of the tunnel fits into one of a relay
)

// netFlags say where the packets of the tunnel come from.
type netFlags struct {
	userspace bool
	iface     string
	mtu       int
	relayOnly bool
	port      uint16
	socks     string
	forward   []string
	expose    []string

	forwards []usernet.Forward // of forward
	ports    []uint16          // of expose
}

func (f *netFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.userspace, "userspace", false, "make no interface: programs come in by --socks and --forward, and no rights are needed")
	flags.StringVar(&f.iface, "interface", "", "`name` of the interface (default: detour0, or the next that is free)")
	flags.IntVar(&f.mtu, "mtu", usualMTU, "largest packet that goes into the tunnel, in `bytes`; the same for all members")
	flags.BoolVar(&f.relayOnly, "relay-only", false, "look for no direct paths: all packets go through relays, and peers hear no address of this machine")
	flags.Uint16Var(&f.port, "port", 0, "UDP `port` of direct paths; 0 takes any")
	flags.StringVar(&f.socks, "socks", "", "with --userspace: SOCKS5 proxy at this `address`, host:port or a port of 127.0.0.1; whoever reaches it comes to all members")
	flags.StringArrayVar(&f.forward, "forward", nil, "with --userspace: `PORT:NAME:PORT`, so that a port of 127.0.0.1 leads to one of a member; repeatable")
	flags.StringArrayVar(&f.expose, "expose", nil, "with --userspace: `port` of 127.0.0.1 that other members come to; repeatable")
	cli.Complete(cmd, "interface")
	cli.Complete(cmd, "mtu")
	cli.Complete(cmd, "port")
	cli.Complete(cmd, "socks")
	cli.Complete(cmd, "forward")
	cli.Complete(cmd, "expose")
}

// check reads what was given.
func (f *netFlags) check() (err error) {
	if f.mtu < leastMTU || f.mtu > mostMTU {
		return cli.Usagef("--mtu %d: want %d to %d", f.mtu, leastMTU, mostMTU)
	}
	if !f.userspace && (f.socks != "" || len(f.forward) > 0 || len(f.expose) > 0) {
		return cli.Usagef("--socks, --forward and --expose go with --userspace: with an interface, programs reach the other members as they reach anybody")
	}
	if f.relayOnly && f.port != 0 {
		return cli.Usagef("--port %d is for direct paths, and with --relay-only there are none: leave out one of the two", f.port)
	}
	if f.userspace && f.iface != "" {
		return cli.Usagef("with --userspace there is no interface to call --interface %s", f.iface)
	}
	if f.socks, err = listenAddress(f.socks); err != nil {
		return cli.Usagef("--socks: %w", err)
	}
	for _, text := range f.forward {
		forward, err := parseForward(text)
		if err != nil {
			return cli.Usagef("--forward %s: %w", text, err)
		}
		f.forwards = append(f.forwards, forward)
	}
	for _, text := range f.expose {
		port, err := parsePort(text)
		if err != nil {
			return cli.Usagef("--expose: %w", err)
		}
		f.ports = append(f.ports, port)
	}
	return nil
}

func parsePort(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%q is no port: want 1 to 65535", text)
	}
	return uint16(port), nil
}

// listenAddress makes one of a port alone.
func listenAddress(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = "", text
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%q is no address: want a port, or host:port", text)
	}
	return net.JoinHostPort(host, port), nil
}

// parseForward reads PORT:NAME:PORT. An address of IPv6 stands in brackets.
func parseForward(text string) (f usernet.Forward, err error) {
	own, to, ok := strings.Cut(text, ":")
	name, port, failed := net.SplitHostPort(to)
	if !ok || failed != nil || name == "" {
		return f, errors.New("want PORT:NAME:PORT, such as 2222:ben:22")
	}
	near, err := parsePort(own)
	if err != nil {
		return f, err
	}
	f.Listen, f.Name = net.JoinHostPort("127.0.0.1", strconv.Itoa(int(near))), name
	f.Port, err = parsePort(port)
	return f, err
}

// network is the one that was chosen.
type network struct {
	agent.Network
	within *usernet.Network // nil: an interface
	host   *hostnet.Network // nil: none
	flags  *netFlags
}

func (f *netFlags) open() (*network, error) {
	if f.userspace {
		n, err := usernet.New(f.mtu)
		if err != nil {
			return nil, err
		}
		return &network{n, n, nil, f}, nil
	}
	n, err := hostnet.Open(hostnet.Config{Name: f.iface, MTU: f.mtu})
	if err != nil {
		return nil, explainUp(err)
	}
	return &network{n, nil, n, f}, nil
}

// explainUp says what to do where there can be no tunnel, unless that is said already.
func explainUp(err error) error {
	if _, said := errors.AsType[*failure](err); said {
		return err
	}
	for _, e := range []struct {
		is     error
		remedy string
	}{
		{hostnet.ErrNoTUN, "load it (modprobe tun), give the container /dev/net/tun, or take --userspace"},
		{hostnet.ErrNoRight, "be root, give this program the right (CAP_NET_ADMIN), or take --userspace"},
		{hostnet.ErrTaken, "end what has it, or choose another with --interface"},
		{hostnet.ErrCollides, "two tailnets, or one and a provider, have the same address: take --userspace, or have the operator of the tailnet remove this member and join again"},
	} {
		if errors.Is(err, e.is) {
			return &failure{err, e.remedy}
		}
	}
	return err
}

// ports opens those of a network without an interface, and says where they are.
func (n *network) ports(a *agent.Agent, log *slog.Logger) (said string, stop func(), err error) {
	if n.within == nil {
		name, err := n.Device().Name()
		said = fmt.Sprintf("tunnel   %s, MTU %d\n", name, n.flags.mtu)
		if !n.host.HasIPv6() {
			said += "         without IPv6, which this machine has turned off (sysctl net.ipv6.conf.*.disable_ipv6)\n"
		}
		return said, func() {}, err
	}
	p, err := n.within.Open(usernet.PortsConfig{SOCKS: n.flags.socks, Forwards: n.flags.forwards, Expose: n.flags.ports, Resolve: a.Resolve, Logger: log})
	if err != nil {
		return "", nil, err
	}
	said = fmt.Sprintf("tunnel   without interface, MTU %d\n", n.flags.mtu)
	if at := p.SOCKSAddr(); at != nil {
		said += fmt.Sprintf("socks    %s (curl --proxy socks5h://%s http://NAME/)\n", at, at)
	}
	for _, f := range n.flags.forwards {
		said += fmt.Sprintf("forward  %s to %s\n", f.Listen, net.JoinHostPort(f.Name, strconv.Itoa(int(f.Port))))
	}
	for _, port := range n.flags.ports {
		said += fmt.Sprintf("expose   127.0.0.1:%d\n", port)
	}
	return said, p.Close, nil
}
