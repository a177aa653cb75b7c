package measure

import (
	"context"
	"errors"
	"net/netip"

	"github.com/detour-relay/detour/internal/home"
)

// name is a host, and over which family it is to be reached.
type name struct {
	family home.Family
	host   string
}

var errNoAddress = errors.New("no address of this family")

// addrOf returns where a probe goes. Names are looked up once in a report.
func (r *run) addrOf(ctx context.Context, p home.Probe) (netip.Addr, error) {
	if p.Target.Addr.IsValid() {
		return p.Target.Addr, nil
	}
	n := name{p.Family, p.Target.Host}
	return r.lookups.of(ctx, n, func() (netip.Addr, error) { return r.lookup(ctx, n) })
}

// lookup returns the first address of a host.
func (r *run) lookup(ctx context.Context, n name) (netip.Addr, error) {
	if addr, err := netip.ParseAddr(n.host); err == nil {
		return firstOf(n.family, addr)
	}
	network := "ip4"
	if n.family == home.IPv6 {
		network = "ip6"
	}
	addrs, err := r.cfg.Lookup(ctx, network, n.host)
	if err != nil {
		return netip.Addr{}, err
	}
	return firstOf(n.family, addrs...)
}

func firstOf(family home.Family, addrs ...netip.Addr) (netip.Addr, error) {
	for _, addr := range addrs {
		if addr = addr.Unmap(); addr.IsValid() && addr.Is4() == (family == home.IPv4) {
			return addr, nil
		}
	}
	return netip.Addr{}, errNoAddress
}
