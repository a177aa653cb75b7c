package daemon

import (
	"net"
	"net/netip"

	"github.com/detour-relay/detour/internal/behind"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/edge"
)

func checkProxies(cfg config.Config) error {
	if _, err := behind.Parse(cfg.TrustedProxies); err != nil {
		return &config.Error{Setting: "trusted-proxies", Err: err}
	}
	return nil
}

// proxies are those that the relay believes.
func proxies(cfg config.Config) edge.Proxies {
	believed, _ := behind.Parse(cfg.TrustedProxies) // checked when the settings were
	return edge.Proxies{Believed: believed, HeaderOptional: cfg.ProxyHeader == config.HeaderOptional}
}

// introduction is what a connection of this machine to its own listener begins with: it
// may come from the address of a proxy which is believed.
func introduction(cfg config.Config, at netip.AddrPort) string {
	if proxies(cfg).Believed.Believes(sourceTo(at)) {
		return behind.Local
	}
	return ""
}

// sourceTo is the address that this machine takes to connect to one of its own. Mostly it
// is the same, but for all of 127.0.0.0/8 it may be 127.0.0.1.
func sourceTo(at netip.AddrPort) netip.Addr {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at)) // which sends nothing
	if err != nil {
		return at.Addr()
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}
