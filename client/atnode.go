package client

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/derpmap"
)

// ipv6Lead is how long IPv4 is held back where IPv6 is known to work (spec section 7.3).
const ipv6Lead = 200 * time.Millisecond

var errNoFamily = errors.New("the map gives the node neither an IPv4 nor an IPv6 address")

// AtNode returns cfg pointed at a node of a DERP map: with its URL, its certificate, and a DialContext that connects to the
// node's addresses, over IPv4 and IPv6 at once, by way of that of cfg. What the map says wrongly shows in Dial.
func (cfg Config) AtNode(n *derpmap.Node) Config { return cfg.atNode(n, nil) }

// atNode is AtNode with a preference for IPv6, which is asked for at each dial; nil: none.
func (cfg Config) atNode(n *derpmap.Node, preferIPv6 func() bool) Config {
	addr := net.JoinHostPort(n.HostName, strconv.Itoa(n.DERP()))
	host := addr
	if n.DERP() == derpmap.DefaultDERPPort {
		host = strings.TrimSuffix(addr, ":"+strconv.Itoa(derpmap.DefaultDERPPort))
	}
	cfg.URL = (&url.URL{Scheme: "https", Host: host, Path: "/derp"}).String()
	cfg.CertName, cfg.InsecureSkipVerify = n.CertName, n.InsecureForTests
	base := cfg.DialContext
	if base == nil {
		base = new(net.Dialer).DialContext
	}
	ways := waysTo(n)
	cfg.DialContext = func(ctx context.Context, network, asked string) (net.Conn, error) {
		if asked != addr {
			return base(ctx, network, asked) // the proxy
		}
		if preferIPv6 != nil && preferIPv6() {
			return raceFamilies(ctx, base, backward(ways), ipv6Lead)
		}
		return raceFamilies(ctx, base, ways, 0)
	}
	return cfg
}

// way is an address to connect to, over one family.
type way struct{ network, addr string }

// waysTo returns the ways to a node, IPv4 first.
func waysTo(n *derpmap.Node) (ways []way) {
	port := strconv.Itoa(n.DERP())
	for _, family := range []struct{ network, field string }{{"tcp4", n.IPv4}, {"tcp6", n.IPv6}} {
		host := cmp.Or(family.field, n.HostName)
		addr, err := netip.ParseAddr(host)
		isName := err != nil
		if isName && family.field != "" {
			continue // "none"
		}
		if !isName && addr.Unmap().Is4() != (family.network == "tcp4") {
			continue
		}
		ways = append(ways, way{family.network, net.JoinHostPort(host, port)})
	}
	return ways
}

// backward returns the ways with IPv6 first.
func backward(ways []way) []way {
	ways = slices.Clone(ways)
	slices.Reverse(ways)
	return ways
}

type arrival struct {
	conn net.Conn
	err  error
}

// raceFamilies returns the first connection that one of the ways leads to, and gives the others up. The second way is tried
// after the lead of the first, or when that has failed.
func raceFamilies(ctx context.Context, dial dialFunc, ways []way, lead time.Duration) (net.Conn, error) {
	switch len(ways) {
	case 0:
		return nil, errNoFamily
	case 1:
		return dial(ctx, ways[0].network, ways[0].addr)
	}
	ctx, cancel := context.WithCancel(ctx)
	arrivals := make(chan arrival, len(ways))
	started, ended := 0, 0
	defer func() {
		cancel()
		go closeLate(arrivals, started-ended)
	}()
	start := func() {
		if started < len(ways) {
			w := ways[started]
			started++
			go func() { arrivals <- w.connect(ctx, dial) }()
		}
	}
	second := time.NewTimer(lead)
	defer second.Stop()
	var failed error
	for start(); ended < len(ways); {
		select {
		case a := <-arrivals:
			ended++
			if a.err == nil {
				return a.conn, nil
			}
			failed = alsoFailed(failed, a.err)
			start()
		case <-second.C:
			start()
		}
	}
	return nil, failed
}

func (w way) connect(ctx context.Context, dial dialFunc) arrival {
	conn, err := dial(ctx, w.network, w.addr)
	return arrival{conn, err}
}

// closeLate closes what arrives when nobody wants it any more.
func closeLate(arrivals <-chan arrival, n int) {
	for range n {
		if a := <-arrivals; a.err == nil {
			a.conn.Close()
		}
	}
}
