package reach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/pin"
)

// ipv6Lead is how long IPv4 is held back where IPv6 is known to work (spec section
// 7.3).
const ipv6Lead = 200 * time.Millisecond

var errNoFamily = errors.New("the map gives the node neither an IPv4 nor an IPv6 address")

// NodeError: what the map says of a node leads nowhere.
type NodeError struct {
	Node         string // its name
	What, Remedy string
}

func (e *NodeError) Error() string {
	return fmt.Sprintf("node %.100q: %s: %s", e.Node, e.What, e.Remedy)
}

// AtNode returns cfg pointed at a node of a DERP map: with its URL, its certificate,
// and a DialContext that connects to the node's addresses, over IPv4 and IPv6 at
// once, by way of that of cfg. preferIPv6 is asked at each dial; nil: there is no
// preference.
//
// A name is needed where the map gives no address, and where the certificate is
// verified for it. If it cannot be used, but is not needed, the node goes by its
// address. If it is needed, that is an error.
func (cfg Config) AtNode(n *derpmap.Node, preferIPv6 func() bool) (Config, error) {
	host, err := nodeHost(n)
	if err != nil {
		host = n.HostName // for show
	}
	addr := net.JoinHostPort(host, strconv.Itoa(n.DERP()))
	shown := addr
	if n.DERP() == derpmap.DefaultDERPPort {
		shown = strings.TrimSuffix(addr, ":"+strconv.Itoa(derpmap.DefaultDERPPort))
	}
	cfg.URL = (&url.URL{Scheme: "https", Host: shown, Path: "/derp"}).String()
	cfg.CertName, cfg.InsecureSkipVerify = n.CertName, n.InsecureForTests
	base := cfg.DialContext
	if base == nil {
		base = new(net.Dialer).DialContext
	}
	addrs := dialAddrs(n)
	cfg.DialContext = func(ctx context.Context, network, asked string) (net.Conn, error) {
		if asked != addr {
			return base(ctx, network, asked) // the proxy
		}
		if preferIPv6 != nil && preferIPv6() {
			return raceFamilies(ctx, base, backward(addrs), ipv6Lead)
		}
		return raceFamilies(ctx, base, addrs, 0)
	}
	return cfg, err
}

// nodeHost returns what the node goes by: its name, or an address where that will do.
func nodeHost(n *derpmap.Node) (string, error) {
	wrong := Usable(n.HostName)
	if wrong == nil {
		return n.HostName, nil
	}
	addr, found := nodeAddr(n)
	nameless := n.InsecureForTests || pin.Is(n.CertName) || n.CertName != "" && Usable(n.CertName) == nil
	switch {
	case found && nameless:
		return addr, nil
	case n.HostName != "":
		return "", badName(n, wrong)
	case found:
		return "", &NodeError{
			n.Name, "the map gives the node no HostName to verify its certificate for",
			"add one, or pin the certificate with CertName",
		}
	}
	return "", &NodeError{n.Name, "the map gives the node neither a HostName nor an address", "add one"}
}

func badName(n *derpmap.Node, err error) error {
	wrong, ok := errors.AsType[*hostname.Error](err)
	if !ok {
		return &NodeError{n.Name, "HostName", err.Error()}
	}
	return &NodeError{n.Name, fmt.Sprintf("HostName %q %s", wrong.Name, wrong.What), wrong.Remedy}
}

// nodeAddr returns the first address that the map has for a node.
func nodeAddr(n *derpmap.Node) (string, bool) {
	for _, field := range []string{n.IPv4, n.IPv6} {
		if addr, err := netip.ParseAddr(field); err == nil && addr.Zone() == "" {
			return addr.String(), true
		}
	}
	return "", false
}

// dialAddr is an address to connect to, over one family.
type dialAddr struct{ network, addr string }

// dialAddrs returns where a node can be dialled, IPv4 first: at the addresses of the
// map, or by its name for a family for which it has none.
func dialAddrs(n *derpmap.Node) (addrs []dialAddr) {
	port := strconv.Itoa(n.DERP())
	for _, family := range []struct{ network, field string }{{"tcp4", n.IPv4}, {"tcp6", n.IPv6}} {
		host := family.field
		if host == "" {
			host = n.HostName
			if Usable(host) != nil {
				continue
			}
		}
		addr, err := netip.ParseAddr(host)
		isName := err != nil
		if isName && family.field != "" {
			continue // "none"
		}
		if !isName && addr.Unmap().Is4() != (family.network == "tcp4") {
			continue
		}
		addrs = append(addrs, dialAddr{family.network, net.JoinHostPort(host, port)})
	}
	return addrs
}

// backward returns the addresses with IPv6 first.
func backward(addrs []dialAddr) []dialAddr {
	addrs = slices.Clone(addrs)
	slices.Reverse(addrs)
	return addrs
}

// raceFamilies returns the first connection that one of the addresses leads to, and
// gives the others up. The second is tried after the lead of the first, or when that
// has failed.
func raceFamilies(ctx context.Context, dial DialFunc, addrs []dialAddr, lead time.Duration) (net.Conn, error) {
	var attempts []func(context.Context) (net.Conn, error)
	for _, a := range addrs {
		attempts = append(attempts, func(ctx context.Context) (net.Conn, error) { return dial(ctx, a.network, a.addr) })
	}
	if len(attempts) == 0 {
		return nil, errNoFamily
	}
	return Race(ctx, Stages[net.Conn]{Lead: lead, Discard: func(c net.Conn) { c.Close() }}, attempts...)
}
