package measure

import (
	"net"
	"net/netip"

	"github.com/detour-relay/detour/internal/home"
)

// HostFamilies tells which address families the interfaces of this host have
// addresses of, besides those of the loopback and of a single link. Where the
// interfaces cannot be listed, it is both.
func HostFamilies() home.Families {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return home.Families{IPv4: true, IPv6: true}
	}
	return familiesOf(addrs)
}

func familiesOf(addrs []net.Addr) (have home.Families) {
	for _, a := range addrs {
		network, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		addr, _ := netip.AddrFromSlice(network.IP)
		addr = addr.Unmap()
		switch {
		case !addr.IsGlobalUnicast(): // also if it is none
		case addr.Is4():
			have.IPv4 = true
		default:
			have.IPv6 = true
		}
	}
	return have
}
