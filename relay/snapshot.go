package relay

import (
	"sync/atomic"

	"github.com/detour-relay/detour/derp"
)

// A Traffic counts packets and the bytes of their payload, without keys and
// headers.
type Traffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// A ByKind has a count for each kind of packet.
type ByKind struct {
	Disco Traffic `json:"disco"`
	Other Traffic `json:"other"`
}

// A Snapshot is the state of a relay at one moment. When no packet is under
// way, for each kind of packet:
//
//	Received = Sent + the sum of Dropped + Queued
//
// where Queued counts packets only.
type Snapshot struct {
	Accepts uint64 `json:"accepts"` // streams handed to Serve
	Conns   int64  `json:"conns"`   // logged in, duplicates and siblings included
	Peers   int64  `json:"peers"`   // distinct keys
	Homes   int64  `json:"homes"`   // conns that call this relay their home

	NotIdeal int64 `json:"not_ideal"` // conns that said this is not their ideal node
	Watchers int64 `json:"watchers"`  // siblings that watch our peers

	DupKeys       int64  `json:"dup_keys"`        // keys with several conns
	DupConns      int64  `json:"dup_conns"`       // their conns
	DupConnsTotal uint64 `json:"dup_conns_total"` // conns that met another of their key, ever

	HomeMovesIn  uint64 `json:"home_moves_in"`
	HomeMovesOut uint64 `json:"home_moves_out"`

	Received    ByKind            `json:"received"`     // from peers and siblings
	ForwardedIn uint64            `json:"forwarded_in"` // of these, packets from siblings
	Sent        ByKind            `json:"sent"`
	Dropped     map[string]ByKind `json:"dropped"` // by DropReason
	Queued      int64             `json:"queued"`  // packets waiting in outboxes

	Pings         uint64            `json:"pings"`
	Pongs         uint64            `json:"pongs"`
	KeepAlives    uint64            `json:"keep_alives"`
	PeerGone      map[string]uint64 `json:"peer_gone"` // by derp.Reason
	UnknownFrames uint64            `json:"unknown_frames"`
	Ended         map[string]uint64 `json:"ended"` // conns and logins, by EndReason
}

// Snapshot returns the counters as they are now. It visits every conn for the
// queued packets, so it is for people and scrapers, not for every second.
func (s *Server) Snapshot() Snapshot {
	n := &s.count
	snap := Snapshot{
		Accepts:       n.accepts.Load(),
		Conns:         n.conns.Load(),
		Homes:         n.homes.Load(),
		NotIdeal:      n.notIdeal.Load(),
		DupKeys:       n.dupKeys.Load(),
		DupConns:      n.dupConns.Load(),
		DupConnsTotal: n.dupConnsTotal.Load(),
		HomeMovesIn:   n.homeMovesIn.Load(),
		HomeMovesOut:  n.homeMovesOut.Load(),
		ForwardedIn:   n.forwardedIn.Load(),
		Pings:         n.pings.Load(),
		Pongs:         n.pongs.Load(),
		KeepAlives:    n.keepAlives.Load(),
		UnknownFrames: n.unknownFrames.Load(),
		Dropped:       make(map[string]ByKind, dropReasons),
		PeerGone:      make(map[string]uint64, len(n.peerGone)),
		Ended:         make(map[string]uint64, endReasons),
	}
	s.routes.each(func(c *conn) { snap.Queued += int64(c.out.queued()) })
	snap.Peers, snap.Watchers = s.routes.sizes()
	snap.Received = byKind(&n.packetsIn, &n.bytesIn)
	snap.Sent = byKind(&n.packetsOut, &n.bytesOut)
	for r := range dropReasons {
		snap.Dropped[r.String()] = byKind(&n.dropped[r], &n.bytesLost[r])
	}
	for r := range n.peerGone {
		snap.PeerGone[derp.Reason(r).String()] = n.peerGone[r].Load()
	}
	for r := range endReasons {
		snap.Ended[r.String()] = n.closed[r].Load()
	}
	return snap
}

func byKind(packets, bytes *[packetKinds]atomic.Uint64) ByKind {
	of := func(k PacketKind) Traffic { return Traffic{packets[k].Load(), bytes[k].Load()} }
	return ByKind{Disco: of(Disco), Other: of(Other)}
}
