package probe

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/reach/errno"
)

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// checkTCP connects over IPv4 and IPv6 on their own, as a client would that has
// only one of them.
func (n *node) checkTCP(ctx context.Context) {
	var checks [2]Check
	var both sync.WaitGroup
	for f := range families {
		both.Go(func() { checks[f] = n.run.ask(ctx, "tcp"+families[f].digit, n.checkFamily(f), 0) })
	}
	both.Wait()
	connected := n.proxy != nil // which connects for us
	for f, c := range checks {
		connected = connected || c.Status == OK || c.Status == Warn
		if ctx.Err() == nil && !n.hasRoute() {
			checks[f] = n.unroutable(f, c)
		}
		n.put(checks[f])
	}
	switch broken := n.lacks["proxy"]; {
	case broken != "": // clients do not go past it
		n.lacks["tcp"] = broken
	case !connected:
		n.lacks["tcp"] = cmp.Or(n.lacks["dns"], "tcp")
	}
}

// unroutable makes a failure of what would only be skipped if there were another
// way to the relay.
func (n *node) unroutable(f int, c Check) Check {
	if c.Status != Skip || n.proxy != nil || n.lacks["proxy"] != "" || n.lacks["dns"] != "" {
		return c
	}
	switch {
	case len(n.ways[f].to) > 0:
		c.Status = Fail
		return c.do("check from a machine that has %s", families[f].name)
	case len(n.ways[1-f].to) == 0:
		c.Status = Fail
		return c.do("correct IPv4 and IPv6 of the node: no client has a way to it")
	}
	return c
}

func (n *node) checkFamily(f int) func(context.Context) Check {
	return func(ctx context.Context) Check {
		a := n.ways[f]
		switch {
		case n.proxy != nil:
			return skip("connections go through the proxy")
		case len(a.to) == 0:
			return skip("%s", a.none)
		case !routed(a.to):
			return skip("this machine has no way to %s", listed(a.to, ""))
		}
		return n.connectAll(ctx, f, a.to)
	}
}

// connectAll wants every address to answer.
func (n *node) connectAll(ctx context.Context, f int, to []netip.Addr) Check {
	errs := make([]error, len(to))
	started := time.Now()
	var all sync.WaitGroup
	for i, addr := range to {
		all.Go(func() { errs[i] = n.connect(ctx, families[f].tcp, n.port, addr) })
	}
	all.Wait()
	took := time.Since(started)
	var failed []netip.Addr
	var last error
	for i, err := range errs {
		if err != nil {
			failed, last = append(failed, to[i]), err
		}
	}
	if len(failed) == 0 {
		return ok("%s port %s in %s", listed(to, ""), n.port, short(took))
	}
	text, remedy := n.connectTrouble(last)
	return atMost(len(failed) < len(to), "%s port %s: %s", listed(failed, ""), n.port, text).do("%s", remedy)
}

func (n *node) connect(ctx context.Context, network, port string, addr netip.Addr) error {
	conn, err := n.base(ctx, network, net.JoinHostPort(addr.String(), port))
	if err != nil {
		return err
	}
	return conn.Close()
}

// connectTrouble explains why there is no TCP connection.
func (n *node) connectTrouble(err error) (text, remedy string) {
	var timeout net.Error
	_, noPort := errors.AsType[*net.AddrError](err)
	switch {
	case noPort:
		return "there is no such port", "correct the port"
	case errors.Is(err, errno.ConnectionRefused):
		return "connection refused", "nothing listens there: start the relay, or correct the port"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer", "let TCP port " + n.port + " through the firewall, or correct the address"
	}
	return err.Error(), "see whether the address is right and the relay's machine is up"
}

// hasRoute reports whether this machine has a way to the relay.
func (n *node) hasRoute() bool { return routed(n.ways[0].to) || routed(n.ways[1].to) }

// routed reports whether this machine has a way to any of the addresses.
func routed(addrs []netip.Addr) bool { return slices.ContainsFunc(addrs, hasRoute) }

// hasRoute connects a UDP socket, which sends nothing.
func hasRoute(addr netip.Addr) bool {
	const anyPort = 443
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, anyPort)))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// online reports whether this machine has a way to the world at large, for which
// addresses of documentation stand.
func online() bool {
	return hasRoute(netip.MustParseAddr("192.0.2.1")) || hasRoute(netip.MustParseAddr("2001:db8::1"))
}
