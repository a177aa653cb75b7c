package daemon

import (
	"net/netip"
	"sync"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/behind"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/health"
	"github.com/detour-relay/detour/key"
)

// healthConfig decides how the relay checks itself. Without a name, or with
// somebody else's TLS before it, only the listener is known.
func (d *Daemon) healthConfig(cfg config.Config, bound netip.AddrPort) health.Config {
	c := health.Config{Logger: d.log, Spell: d.spelling(), UsedUp: d.budget.usedUp, WhyUsedUp: d.budget.whyUsedUp, Full: func() bool { return d.edge.Full() }, Missing: d.source.missing} // once it runs, there is an edge
	own := func() string { return d.address(cfg.Hostname, bound).CheckURL() + derpPath }
	if !cfg.DERP {
		return c // there is nothing to log in to
	}
	switch cfg.SelfCheck {
	case config.CheckOff:
	case config.CheckDirect:
		c.Direct = d.directPath(cfg, own, bound)
	case config.CheckName:
		c.ViaName = d.namePath(own)
	case config.CheckAuto:
		c.Direct = d.directPath(cfg, own, bound)
		if cfg.Hostname != "" && cfg.TLS.Mode != config.TLSOff {
			c.ViaName = d.namePath(own)
		}
	default:
		c.ViaName = d.namePath(func() string { return cfg.SelfCheck })
	}
	return c
}

// derpPath is where peers log in.
const derpPath = "/derp"

// address asks the certificate, which may be renewed, for its names.
func (d *Daemon) address(hostname string, bound netip.AddrPort) front.Address {
	return front.Address{Hostname: hostname, Bound: bound, Leaf: d.source.Describe().Leaf, TLS: d.source.get() != nil}
}

// namePath is the way that peers take. What answers there may show a certificate
// of an authority, or the relay's own.
func (d *Daemon) namePath(url func() string) health.Path {
	trip := d.roundTrip(url)
	return health.Path{Target: url(), Check: trip.Check}
}

// directPath leads to the listener, and asks there for the name.
func (d *Daemon) directPath(cfg config.Config, url func() string, bound netip.AddrPort) health.Path {
	if path, isUnix := cfg.ListenPath(); isUnix {
		trip := d.roundTrip(url)
		trip.Socket, trip.First = path, behind.Local
		return health.Path{Target: url() + " at " + cfg.Listen, Check: trip.Check}
	}
	trip, at := d.roundTrip(url), front.Dialable(bound)
	trip.Addr, trip.First = at.String(), introduction(cfg, at)
	return health.Path{Target: url() + " at " + trip.Addr, Check: trip.Check}
}

func (d *Daemon) roundTrip(url func() string) health.RoundTrip {
	return health.RoundTrip{Login: func() client.Config { return d.login(url()) }, Key: d.own.next}
}

// login says how to trust the relay behind a URL.
func (d *Daemon) login(url string) client.Config {
	c := client.Config{URL: url, ServerKey: d.relay.PublicKey()}
	c.CertName, c.RootCAs = d.source.Trust()
	return c
}

// visitors are the keys of the self-check's peers, which the relay admits whatever
// else it asks of peers.
type visitors struct {
	mu   sync.Mutex
	keys [8]key.Public // the last ones, guarded by mu: those of a few checks
	made int           // guarded by mu
}

// next makes a key for one more.
func (v *visitors) next() key.Private {
	secret := key.NewPrivate()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys[v.made%len(v.keys)] = secret.Public()
	v.made++
	return secret
}

func (v *visitors) know(peer key.Public) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, k := range v.keys {
		if k == peer && !k.IsZero() {
			return true
		}
	}
	return false
}
