package daemon

import (
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
// comes from the address that it goes to, which may be that of a proxy which is believed.
func introduction(cfg config.Config, at netip.Addr) string {
	if proxies(cfg).Believed.Believes(at) {
		return behind.Local
	}
	return ""
}
