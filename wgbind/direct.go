package wgbind

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/direct"
	"github.com/detour-relay/detour/internal/paths"
	"github.com/detour-relay/detour/key"
)

// Direct has packets go by UDP where there is a path to the peer, and over the relay
// while there is none, or none that is trusted. Peers have to be told of by SetPeerDisco.
type Direct struct {
	Node  key.Public  // told in pings; zero: that of HostConfig.Key, if it is there
	Disco key.Private // of this run, whose public key peers are told; zero: a new one
	Port  uint16      // of the sockets; 0: any
	MTU   int         // of the tunnel: a path that does not carry such packets is not used; 0: 1280

	// Map returns the DERP map of now, whose relays tell us by STUN where we are. nil:
	// HostConfig.Map.
	Map func() *derpmap.Map

	// Refuse reports addresses that no path leads to: those within the tunnel. nil: none.
	Refuse func(netip.Addr) bool

	loopback bool // of tests: all peers are on this machine
}

// Path is the way to a peer.
type Path struct {
	State     string         // "relay", "searching", "both" or "direct"
	Relay     bool           // packets go over the relay, if not only there
	Addr      netip.AddrPort // where packets go by UDP; not valid: nowhere
	RoundTrip time.Duration  // of that; 0: not known
}

// openDirect opens the sockets of UDP. The Host is there already.
func (b *Bind) openDirect(cfg client.HostConfig, d Direct) (err error) {
	if d.Disco.IsZero() {
		d.Disco = key.NewPrivate()
	}
	if d.Map == nil {
		d.Map = func() *derpmap.Map { return cfg.Map }
	}
	mtu := cmp.Or(d.MTU, 1280)
	if d.Node.IsZero() && !cfg.Key.IsZero() { // else peers know us by the disco key
		d.Node = cfg.Key.Public()
	}
	b.arrivals.New = func() any { return new(delivery) }
	b.direct, err = direct.Open(direct.Config{
		Node: d.Node, Disco: d.Disco, Port: d.Port, FullSize: (mtu+15)/16*16 + 32,
		Relay:   func(peer key.Public, packet []byte) { _ = b.host.Send(peer, packet) }, // what is lost is sent again
		Deliver: b.arrived,
		Servers: func(ctx context.Context) []netip.AddrPort {
			return responders(ctx, d.Map(), b.host.State().Home.Region, cfg.Lookup)
		},
		Refuse: d.Refuse, Loopback: d.loopback,
	})
	return err
}

// DiscoKey is what peers have to be told of us; zero: there are no direct paths.
func (b *Bind) DiscoKey() key.Public {
	if b.direct == nil {
		return key.Public{}
	}
	return b.direct.Disco()
}

// SetPeerDisco says by which disco key a peer looks for direct paths; zero: it does not.
// Forget forgets it.
func (b *Bind) SetPeerDisco(peer, disco key.Public) {
	if b.direct != nil {
		b.direct.SetPeer(peer, disco)
	}
}

// NetworkChanged says that this machine is connected to another network: to the Host,
// too.
func (b *Bind) NetworkChanged() {
	b.host.NetworkChanged()
	if b.direct != nil {
		b.direct.NetworkChanged()
	}
}

// Path is the way that packets to a peer take now.
func (b *Bind) Path(peer key.Public) Path {
	if b.direct == nil {
		return Path{State: "relay", Relay: true}
	}
	s := b.direct.Path(peer).Status()
	return Path{State: string(s.State), Relay: s.State != paths.Direct, Addr: s.Addr, RoundTrip: s.RoundTrip}
}

// arrived copies packets that came by UDP, and delivers them.
func (b *Bind) arrived(from []key.Public, packets [][]byte) {
	in := b.arrivals.Get().(*delivery)
	defer b.arrivals.Put(in)
	b.inbox.refill(in.bufs[:len(packets)])
	for i, packet := range packets {
		if len(packet) > len(in.bufs[i]) {
			in.bufs[i] = make([]byte, len(packet))
		}
		in.sizes[i], in.from[i] = copy(in.bufs[i], packet), from[i]
	}
	b.byUDP.Add(uint64(len(packets)))
	b.inbox.awaitRoom(maxAge)
	b.deliver(in, len(packets))
}

// mostNamed is for how many relays names are looked up.
const mostNamed = 4

// A lookup finds the addresses of a name.
type lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

// responders are the STUN responders of a map, those of home first.
func responders(ctx context.Context, m *derpmap.Map, home int, find lookup) (all []netip.AddrPort) {
	if m == nil {
		return nil
	}
	ids := m.IDs()
	if i := slices.Index(ids, home); i > 0 {
		ids = slices.Insert(slices.Delete(ids, i, i+1), 0, home)
	}
	named := 0
	for _, id := range ids {
		for _, n := range m.Regions[id].Nodes {
			if n == nil || n.STUN() == 0 {
				continue
			}
			texts := []string{n.IPv4, n.IPv6}
			if (n.IPv4 == "" || n.IPv6 == "") && find != nil && named < mostNamed {
				named++
				texts = find.complete(ctx, n)
			}
			for _, text := range texts {
				if ip, err := netip.ParseAddr(text); err == nil {
					all = append(all, netip.AddrPortFrom(ip.Unmap(), uint16(n.STUN())))
				}
			}
		}
	}
	return all
}

// complete are a node's addresses, with those that are looked up where the map has none.
func (find lookup) complete(ctx context.Context, n *derpmap.Node) []string {
	texts := []string{n.IPv4, n.IPv6}
	for i, network := range []string{"ip4", "ip6"} {
		if texts[i] != "" {
			continue
		}
		if found, err := find(ctx, network, n.HostName); err == nil && len(found) > 0 {
			texts[i] = found[0].String()
		}
	}
	return texts
}
