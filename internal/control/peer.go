package control

import (
	"net/netip"

	"github.com/detour-relay/detour/relay"
)

// PeerOf is a connection as it is shown.
func PeerOf(p *relay.PeerState) Peer {
	shown := Peer{
		ID: p.ID, Key: p.Peer, Since: p.Since.UTC(), Used: p.Used.UTC(), Label: p.Group, App: p.AppName, IdealNode: p.IdealNode,
		Home: p.Home, Sibling: p.Sibling, Prober: p.Prober, Duplicate: p.Duplicate, Queued: p.Queued, Received: p.Received, Sent: p.Sent,
		Active: p.Active, Version: p.Version, ReceivedPackets: p.ReceivedPackets, SentPackets: p.SentPackets, Dropped: p.Dropped,
		RoundTrip: p.RoundTrip, Waited: p.Waited, Senders: p.Senders,
		Limits: p.Limits, Resting: p.Resting, LimitedMS: p.LimitedMS,
	}
	if !p.Until.IsZero() {
		shown.Until = p.Until.UTC()
	}
	switch {
	case p.Addr.Port() != 0:
		shown.Addr = p.Addr.String()
	case p.Addr.IsValid() && !p.Addr.Addr().IsUnspecified(): // a proxy has named no port
		shown.Addr = p.Addr.Addr().String()
	}
	return shown
}

// State is what PeerOf was made from.
func (p *Peer) State() relay.PeerState {
	s := relay.PeerState{
		ID: p.ID, Peer: p.Key, Since: p.Since, Used: p.Used, Group: p.Label, AppName: p.App, IdealNode: p.IdealNode, Until: p.Until,
		Home: p.Home, Sibling: p.Sibling, Prober: p.Prober, Duplicate: p.Duplicate, Queued: p.Queued, Received: p.Received, Sent: p.Sent,
		Active: p.Active, Version: p.Version, ReceivedPackets: p.ReceivedPackets, SentPackets: p.SentPackets, Dropped: p.Dropped,
		RoundTrip: p.RoundTrip, Waited: p.Waited, Senders: p.Senders,
		Limits: p.Limits, Resting: p.Resting, LimitedMS: p.LimitedMS,
	}
	var err error
	if s.Addr, err = netip.ParseAddrPort(p.Addr); err != nil {
		addr, _ := netip.ParseAddr(p.Addr) // invalid: the relay knows none
		s.Addr = netip.AddrPortFrom(addr, 0)
	}
	return s
}
