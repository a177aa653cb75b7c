package daemon

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/admit"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/relay"
)

// CheckAccess makes sure that a relay which others can reach says who may come in. A
// relay that everybody may use is found within days, and pays for their traffic.
func CheckAccess(cfg config.Config) error {
	if cfg.Access.Given() || onlyLoopback(cfg.Listen) && !cfg.Proxied() || !cfg.DERP {
		return nil
	}
	return &config.Error{
		Setting: "listen", What: cfg.Listen + " can be reached by others, and nothing says who may come in",
		Remedy: "choose one or more of these:",
		Choices: []config.Choice{
			{Settings: "{access.keys} FILE", Means: "the keys in a file, one nodekey:... a line"},
			{Settings: "{access.managed}", Means: `the keys that "detour access allow" and "detour access import" let in`},
			{Settings: "{access.verify} URL", Means: "whom an admission URL lets in: https://headscale.example/verify"},
			{Settings: "{access.coordinator} URL", Means: "the members of a coordination server's tailnets: https://coord.example.com"},
			{Settings: "{access.tailscaled} auto", Means: "whom the Tailscale daemon of this machine sees in its tailnet"},
			{Settings: "{access.everyone}", Means: "everybody who finds the relay, on purpose"},
		},
	}
}

// onlyLoopback reports whether nobody outside of this machine gets to an address.
func onlyLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}

// checkAccess is CheckAccess for a relay that has a listener already, or somebody else
// who decides.
func (d *Daemon) checkAccess(cfg config.Config) error {
	if d.options.Admit != nil {
		return nil
	}
	if d.options.Listener != nil {
		cfg.Listen = d.options.Listener.Addr().String()
	}
	return CheckAccess(cfg)
}

// openAccess makes the chain that decides who may come in, unless the options do.
func (d *Daemon) openAccess(cfg config.Config) (err error) {
	if d.options.Admit != nil {
		return nil
	}
	settings, err := d.accessConfig(cfg)
	if err != nil {
		return err
	}
	d.access, err = admit.New(settings)
	return err
}

func (d *Daemon) accessConfig(cfg config.Config) (c admit.Config, err error) {
	c = admit.Config{Access: cfg.Access, Peers: connected{d}, Exempt: d.own.know, Logger: d.log}
	if !cfg.Dev {
		c.StateDir, err = stateDir(cfg)
	}
	return c, err
}

// connected are the conns of the daemon's relay, which is made after the chain.
type connected struct{ d *Daemon }

func (c connected) Peers(yield func(relay.PeerState) bool) { c.d.relay.Peers(yield) }

func (c connected) Close(match func(relay.PeerState) bool, why error, atMost int) int {
	return c.d.relay.Close(match, why, atMost)
}

// Access is the chain that decides who may come in; nil if Options.Admit does.
func (d *Daemon) Access() *admit.Chain { return d.access }

// admission is who may come in: whom the chain admits; or the peers of our own
// self-check, and whom the options admit.
func (d *Daemon) admission() func(context.Context, relay.Applicant) (relay.Admission, error) {
	if d.access != nil {
		return d.access.Admit
	}
	ask := d.options.Admit
	return func(ctx context.Context, a relay.Applicant) (relay.Admission, error) {
		if d.own.know(a.Peer) {
			return relay.Admission{}, nil
		}
		return ask(ctx, a)
	}
}

// admitLimits are how long a peer waits, and how many may. The chain has bounds of its
// own, which tell strangers from those who are known; an Admit of the options has
// those of package relay.
func (d *Daemon) admitLimits() (timeout time.Duration, pending int) {
	if d.access == nil {
		return 0, 0
	}
	return admit.AdmitTimeout, admit.AdmitPending
}

// reloadAccess has other settings decide who may come in.
func (d *Daemon) reloadAccess(_, to config.Config) (apply func(), err error) {
	if d.access == nil {
		return nil, nil
	}
	if err := d.checkAccess(to); err != nil {
		return nil, err
	}
	settings, err := d.accessConfig(to)
	if err != nil {
		return nil, err
	}
	return d.access.Prepare(settings)
}

// accessState is what /status shows; nil if Options.Admit decides.
func (d *Daemon) accessState() *admit.Snapshot {
	if d.access == nil {
		return nil
	}
	s := d.access.Snapshot()
	return &s
}
