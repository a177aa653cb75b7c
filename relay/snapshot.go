package relay

import (
	"cmp"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
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

	Draining      bool        `json:"draining"`
	RemotePeers   int64       `json:"remote_peers"`    // keys that only siblings have
	WrongMeshKeys uint64      `json:"wrong_mesh_keys"` // logins with a mesh key that is not ours
	Links         []LinkState `json:"links"`           // that are up now
	LinkTries     uint64      `json:"link_tries"`      // streams handed to Link

	DupKeys       int64  `json:"dup_keys"`        // keys with several conns
	DupConns      int64  `json:"dup_conns"`       // their conns
	DupConnsTotal uint64 `json:"dup_conns_total"` // conns that met another of their key, ever

	HomeMovesIn  uint64 `json:"home_moves_in"`
	HomeMovesOut uint64 `json:"home_moves_out"`

	Received     ByKind            `json:"received"`      // from peers and siblings
	ForwardedIn  uint64            `json:"forwarded_in"`  // of these, packets from siblings
	Sent         ByKind            `json:"sent"`          // to peers and siblings
	ForwardedOut uint64            `json:"forwarded_out"` // of these, packets to siblings
	Dropped      map[string]ByKind `json:"dropped"`       // by DropReason
	Queued       int64             `json:"queued"`        // packets waiting in outboxes

	Pings         uint64            `json:"pings"`
	Pongs         uint64            `json:"pongs"`
	KeepAlives    uint64            `json:"keep_alives"`
	PeerGone      map[string]uint64 `json:"peer_gone"` // by derp.Reason
	UnknownFrames uint64            `json:"unknown_frames"`
	Ended         map[string]uint64 `json:"ended"`       // conns and logins, by EndReason
	LinksEnded    map[string]uint64 `json:"links_ended"` // by EndReason
}

// A LinkState is a link as it is at one moment.
type LinkState struct {
	Name       string         `json:"name"` // as in Sibling
	Addr       netip.AddrPort `json:"addr"`
	Key        key.Public     `json:"key"`
	Up         time.Duration  `json:"up"`         // for how long, nanoseconds
	Peers      int            `json:"peers"`      // keys that the sibling has
	Queued     int            `json:"queued"`     // packets that wait for it
	Restarting bool           `json:"restarting"` // it has said so
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
		ForwardedOut:  n.forwardedOut.Load(),
		WrongMeshKeys: n.wrongMeshKeys.Load(),
		LinkTries:     n.linkTries.Load(),
		Pings:         n.pings.Load(),
		Pongs:         n.pongs.Load(),
		KeepAlives:    n.keepAlives.Load(),
		UnknownFrames: n.unknownFrames.Load(),
		Dropped:       make(map[string]ByKind, dropReasons),
		PeerGone:      make(map[string]uint64, len(n.peerGone)),
		Ended:         make(map[string]uint64, linkEndReasons),
		LinksEnded:    make(map[string]uint64, endReasons),
	}
	snap.Queued = s.queued()
	snap.Peers, snap.RemotePeers, snap.Watchers = s.routes.sizes()
	snap.Links, snap.Draining = s.routes.linkStates(s.now())
	snap.Received = byKind(&n.packetsIn, &n.bytesIn)
	snap.Sent = byKind(&n.packetsOut, &n.bytesOut)
	for r := range dropReasons {
		snap.Dropped[r.String()] = byKind(&n.dropped[r], &n.bytesLost[r])
	}
	for r := range n.peerGone {
		snap.PeerGone[derp.Reason(r).String()] = n.peerGone[r].Load()
	}
	for r := range linkEndReasons {
		snap.Ended[r.String()] = n.closed[r].Load()
	}
	for r := range endReasons {
		snap.LinksEnded[r.String()] = n.linksEnded[r].Load()
	}
	return snap
}

// queued returns how many packets wait in outboxes.
func (s *Server) queued() (packets int64) {
	s.routes.each(func(c *conn) { packets += int64(c.out.queued()) })
	s.routes.eachLink(func(l *link) { packets += int64(l.out.queued()) })
	return packets
}

// linkStates returns the links by name, and whether the relay drains.
func (r *routes) linkStates(now int64) (states []LinkState, draining bool) {
	states = []LinkState{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for l := range r.links {
		states = append(states, LinkState{
			Name: l.to.Name, Addr: l.to.Addr, Key: l.key, Up: time.Duration(now - l.since),
			Peers: len(l.announced), Queued: l.out.queued(), Restarting: l.restarting,
		})
	}
	slices.SortFunc(states, func(a, b LinkState) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.Up, a.Up)) })
	return states, r.draining
}

func byKind(packets, bytes *[packetKinds]atomic.Uint64) ByKind {
	of := func(k PacketKind) Traffic { return Traffic{packets[k].Load(), bytes[k].Load()} }
	return ByKind{Disco: of(Disco), Other: of(Other)}
}
