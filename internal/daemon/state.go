package daemon

import (
	"strings"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/admit"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/health"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/relay"
)

// A State is a relay at one moment. Its JSON names are stable.
type State struct {
	Phase     front.Phase     `json:"phase"`
	PublicKey string          `json:"public_key"`
	Listen    string          `json:"listen"`       // the address that it got
	URL       string          `json:"url"`          // where peers find it, as far as the relay can know
	STUN      string          `json:"stun"`         // the address that it got; empty: off
	HTTP      string          `json:"http"`         // as STUN
	Admin     string          `json:"admin"`        // as STUN
	Metrics   string          `json:"metrics"`      // as STUN
	MetricsAt string          `json:"metrics_at"`   // the URL for Prometheus; empty: off
	Pprof     string          `json:"pprof"`        // as STUN
	Socket    string          `json:"admin_socket"` // path; empty: none
	Remote    string          `json:"admin_https"`  // as STUN
	Health    health.Snapshot `json:"health"`
	Siblings  []mesh.State    `json:"siblings"`
	Conns     int             `json:"conns"`

	// Pin is what peers trust a self-signed certificate by; empty: they trust an
	// authority, or there is no TLS.
	Pin         string             `json:"pin"`
	Certificate *certs.Description `json:"certificate"` // null without TLS

	Access      *admit.Snapshot   `json:"access"` // null if the program decides itself
	Reload      *admin.Reload     `json:"reload"` // null: there was none
	Descriptors admin.Descriptors `json:"descriptors"`
}

// State returns the state now.
func (d *Daemon) State() State {
	cfg := d.Config()
	s := State{
		PublicKey: d.relay.PublicKey().String(), Listen: d.listening(), URL: d.url(cfg),
		HTTP: d.http.Addr(), Admin: d.status.Addr(), Metrics: d.metrics.Addr(), MetricsAt: d.metrics.URL(), Pprof: d.profiles.Addr(),
		Health: d.health.Snapshot(), Siblings: d.mesh.Siblings(), Conns: d.edge.Conns(), Access: d.accessState(), Reload: d.lastReload(), Descriptors: descriptors(),
	}
	s.Socket, s.Remote = d.control.Addrs()
	if addr := d.stun.addr(); addr.IsValid() {
		s.STUN = addr.String()
	}
	if s.Certificate = d.certificate(); s.Certificate != nil {
		s.Pin, _ = d.source.Trust()
	}
	s.Phase = d.life.Phase()
	return s
}

// url is where peers find the relay. A proxy before a unix socket has TLS for them.
func (d *Daemon) url(cfg config.Config) string {
	url := d.address(cfg.Hostname, front.Bound(d.edge.Addr())).URL() + derpPath
	if rest, plain := strings.CutPrefix(url, "http://"); plain && d.socket != nil && cfg.Hostname != "" {
		return "https://" + rest
	}
	return url
}

// SiblingNames are all siblings as the operator named them, without their pins.
func SiblingNames(cfg config.Config) (names []string) {
	entries, _ := meshEntries(cfg) // checked when the relay was opened
	for _, e := range entries {
		names = append(names, e.Name)
	}
	names = append(names, cfg.Mesh.DNS...)
	return append(names, cfg.Mesh.SRV...)
}

// Counters returns the numbers of the engine. It is cheap.
func (d *Daemon) Counters() relay.Counters { return d.relay.Counters() }
