package agent

import (
	"context"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/agent/pair"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

// A Source says who we are, and who the peers: a tailnet.Member, which has it from a
// coordinator, or a pair.Pair, which has it from the peers. It is all that an agent needs
// of them.
type Source interface {
	Self() tailnet.Self
	PrivateKey() key.Private
	State() tailnet.State

	Peers() []tailnet.Peer
	Peer(key.Public) (p tailnet.Peer, known bool)
	PeerNamed(name string) (p tailnet.Peer, known bool)
	Ask(context.Context, key.Public) (tailnet.Peer, error) // about one who is not known

	Map() *derpmap.Map
	Host(client.HostConfig) (*client.Host, error)
	NetworkChanged() // this machine is connected to another one
	Close() error
}

var (
	_ Source = (*tailnet.Member)(nil)
	_ Source = (*pair.Pair)(nil)
)

// openSource becomes a member, or opens the pair.
func (a *Agent) openSource(ctx context.Context, cfg Config) error {
	file := cfg.Member.StateFile
	if cfg.Pair != nil {
		file = cfg.Pair.StateFile
	}
	a.last = lastRun(file)
	if why := clockProblem(a.last, time.Now()); why != "" {
		a.log.Warn("the clock is wrong", "reason", why)
	}
	if cfg.Pair == nil {
		cfg.Member.OnEvent = a.looking(cfg.Member.OnEvent)
		m, err := tailnet.Open(ctx, cfg.Member)
		if err == nil {
			a.member = m
		}
		return err
	}
	own := *cfg.Pair
	own.OnEvent, own.Disco = a.looking(own.OnEvent), cfg.Member.Disco
	own.OnReached = a.greet
	p, err := pair.Open(own)
	if err == nil {
		a.member, a.pair = p, p
	}
	return err
}

// looking has the device looked at with each event.
func (a *Agent) looking(tell func(tailnet.Event)) func(tailnet.Event) {
	return func(e tailnet.Event) {
		a.lookSoon()
		if tell != nil {
			tell(e)
		}
	}
}

// greet has the device agree on keys with a peer. Where we were restarted, it still has
// those from before, and would send by them in vain for 15 s.
func (a *Agent) greet(k key.Public) {
	select {
	case <-a.begun:
	case <-a.ctx.Done():
		return
	}
	a.reconcile()
	if p := a.device.LookupPeer(device.NoisePublicKey(k)); p != nil {
		p.SendHandshakeInitiation(false) // if it is lost, it is sent again
	}
}

// aside is wgbind.Config.Aside.
func (a *Agent) aside(from key.Public, packet []byte) bool {
	return a.pair != nil && a.pair.Take(from, packet)
}

// preshared is the key that WireGuard has with a peer besides; zero: none.
func (a *Agent) preshared(k key.Public) [32]byte {
	if a.pair == nil {
		return [32]byte{}
	}
	return a.pair.Preshared(k)
}
