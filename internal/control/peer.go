package control

import "github.com/detour-relay/detour/relay"

// peerOf is a connection as it is shown.
func peerOf(p relay.PeerState) Peer {
	shown := Peer{
		Key: p.Peer, Since: p.Since.UTC(), Used: p.Used.UTC(), Label: p.Group, App: p.AppName, IdealNode: p.IdealNode,
		Home: p.Home, Sibling: p.Sibling, Prober: p.Prober, Duplicate: p.Duplicate, Queued: p.Queued, Received: p.Received, Sent: p.Sent,
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
