package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/reach"
)

// A family is IPv4 or IPv6.
type family struct {
	digit, name, record string
	tcp, udp, ip        string // networks of package net
}

var families = [2]family{
	{"4", "IPv4", "A", "tcp4", "udp4", "ip4"},
	{"6", "IPv6", "AAAA", "tcp6", "udp6", "ip6"},
}

func (f family) has(addr netip.Addr) bool { return addr.Unmap().Is4() == (f.digit == "4") }

// addresses are those of a relay in one family.
type addresses struct {
	to    []netip.Addr // where clients connect to
	none  string       // why there are none
	dns   []netip.Addr // what the DNS says, asked in any case
	err   error        // of the look-up
	field string       // of the map: an address, "none", or nothing
}

// maxAddresses bounds those of a name that are tried.
const maxAddresses = 8

// checkDNS finds the addresses of the relay, and compares those of the DNS with
// those of the map.
func (n *node) checkDNS(ctx context.Context) Check {
	literal, err := netip.ParseAddr(n.host)
	if err == nil {
		for f := range families {
			n.ways[f] = n.literalWays(families[f], literal.Unmap())
		}
		return skip("%s is an address", n.host)
	}
	if err := reach.Usable(n.host); err != nil {
		return n.noName(err)
	}
	found := make(chan int)
	for f := range families {
		go func() {
			n.ways[f] = n.lookUp(ctx, families[f])
			found <- f
		}()
	}
	for range families {
		<-found
	}
	return n.judgeDNS()
}

// noName is for a host that no DNS knows, since it is no name. Clients go by the
// addresses of the map, if there are any.
func (n *node) noName(err error) Check {
	for f := range families {
		if n.ways[f] = n.fromMap(families[f]); len(n.ways[f].to) == 0 && n.ways[f].none == "" {
			n.ways[f].none = "the node has no name to look up"
		}
	}
	wrong, isName := errors.AsType[*hostname.Error](err)
	switch {
	case !isName:
		return fail("HostName: %v", err).do("correct the node's HostName")
	case n.known():
		return skip("HostName %q %s, so it is not looked up", wrong.Name, wrong.What)
	}
	return fail("HostName %q %s", wrong.Name, wrong.What).do("%s", wrong.Remedy)
}

// known reports whether there is an address to connect to.
func (n *node) known() bool { return len(n.ways[0].to)+len(n.ways[1].to) > 0 }

// literalWays are the addresses of a host that is one.
func (n *node) literalWays(f family, literal netip.Addr) addresses {
	a := n.fromMap(f)
	switch {
	case len(a.to) > 0 || a.none != "":
	case f.has(literal):
		a.to = []netip.Addr{literal}
	default:
		a.none = "the host is an address of the other family"
	}
	return a
}

// fromMap are the addresses that the map says.
func (n *node) fromMap(f family) (a addresses) {
	if n.node == nil {
		return a
	}
	a.field = map[string]string{"4": n.node.IPv4, "6": n.node.IPv6}[f.digit]
	addr, err := netip.ParseAddr(a.field)
	switch {
	case a.field == "":
	case err == nil && f.has(addr):
		a.to = []netip.Addr{addr.Unmap()}
	default:
		a.none = "the map says " + line("%.40q", a.field)
	}
	return a
}

// lookUp asks the DNS, whose addresses count if the map says none.
func (n *node) lookUp(ctx context.Context, f family) addresses {
	a := n.fromMap(f)
	a.dns, a.err = n.run.cfg.LookupNetIP(ctx, f.ip, n.host)
	for i := range a.dns {
		a.dns[i] = a.dns[i].Unmap()
	}
	slices.SortFunc(a.dns, netip.Addr.Compare)
	a.dns = slices.Compact(a.dns)
	if len(a.to) == 0 && a.none == "" {
		a.to = a.dns[:min(len(a.dns), maxAddresses)]
	}
	if len(a.to) == 0 && a.none == "" {
		a.none = "no " + f.record + " record"
	}
	return a
}

// judgeDNS says what is wrong with what was found.
func (n *node) judgeDNS() Check {
	v4, v6 := n.ways[0], n.ways[1]
	known := n.known() || n.proxy != nil // a proxy looks names up itself
	switch {
	case len(v4.dns)+len(v6.dns) > 0:
		return n.compareDNS()
	case n.lacks["proxy"] != "" && !known:
		return skip("%s has no address in the DNS of this machine; the proxy may know better, once it can be used", n.host)
	case !notFound(v4.err) || !notFound(v6.err):
		return atMost(known, "the name cannot be looked up: %s", lookupText(v4.err, v6.err)).
			do("see whether this machine's DNS works, and the name servers of %s", n.host)
	case n.proxy != nil:
		return warn("%s has no address in the DNS of this machine; the proxy may know better", n.host).
			do("see whether the name is right")
	case known:
		return warn("%s has no address in the DNS; clients use the map's, but browsers and HTTP proxies cannot", n.host).
			do("publish A and AAAA records for %s", n.host)
	case n.node != nil:
		return fail("%s has no address in the DNS, and the map says none", n.host).
			do("publish A and AAAA records for it, or correct the node's HostName")
	}
	return fail("%s has no address in the DNS", n.host).do("see whether the name is right, and publish A and AAAA records for it")
}

// compareDNS wants the DNS to say the same as the map, where that says something.
func (n *node) compareDNS() Check {
	var all []string
	for f, a := range n.ways {
		for _, addr := range a.dns {
			all = append(all, addr.String())
		}
		addr, err := netip.ParseAddr(a.field)
		if err == nil && !slices.Contains(a.dns, addr.Unmap()) {
			there := listed(a.dns, "no "+families[f].record+" record")
			return warn("the map says %s, the DNS %s: browsers and HTTP proxies go there", addr, there).
				do("make %s of the node and the %s record of %s the same", families[f].name, families[f].record, n.host)
		}
	}
	const shown = 6
	if len(all) > shown {
		all = append(all[:shown], "…")
	}
	return ok("%s", strings.Join(all, ", "))
}

func listed(addrs []netip.Addr, none string) string {
	if len(addrs) == 0 {
		return none
	}
	var texts []string
	for _, addr := range addrs[:min(len(addrs), maxAddresses)] {
		texts = append(texts, addr.String())
	}
	return strings.Join(texts, ", ")
}

// atMost is a warning if what is wrong keeps no client from connecting.
func atMost(warning bool, format string, args ...any) Check {
	if warning {
		return warn(format, args...)
	}
	return fail(format, args...)
}

func notFound(err error) bool {
	var dns *net.DNSError
	return err == nil || errors.As(err, &dns) && dns.IsNotFound
}

func lookupText(errs ...error) string {
	for _, err := range errs {
		if !notFound(err) {
			return err.Error()
		}
	}
	return "unknown"
}
