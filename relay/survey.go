package relay

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/histogram"
	"github.com/detour-relay/detour/internal/ledger"
	"github.com/detour-relay/detour/internal/limit"
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

// Counters is what a relay has counted. When no packet is under way, for each
// kind of packet:
//
//	Received = Sent + the sum of Dropped + what waits (PeerState.Queued and LinkState.Queued)
//
// and over all conns that are here or have ended (Config.Ended), of any kind:
//
//	Received = the sum of PeerState.Received
//	Sent = the sum of PeerState.Sent + what siblings were sent
//	Dropped = the sum of PeerState.Dropped + what was dropped for siblings, and for nobody
//
// Gauges go down as well as up; everything else only grows.
type Counters struct {
	Accepts   uint64 `json:"accepts"`   // streams handed to Serve
	Admitting int64  `json:"admitting"` // gauge: calls of Config.Admit under way
	Conns     int64  `json:"conns"`     // gauge: logged in, duplicates and siblings included
	Peers     int64  `json:"peers"`     // gauge: distinct keys
	Homes     int64  `json:"homes"`     // gauge: conns that call this relay their home

	NotIdeal int64 `json:"not_ideal"` // gauge: conns that said this is not their ideal node
	Watchers int64 `json:"watchers"`  // gauge: siblings that watch our peers

	RemotePeers   int64  `json:"remote_peers"`    // gauge: keys that only siblings have
	WrongMeshKeys uint64 `json:"wrong_mesh_keys"` // logins with a mesh key that is not ours
	LinkTries     uint64 `json:"link_tries"`      // streams handed to Link

	DupKeys       int64  `json:"dup_keys"`        // gauge: keys with several conns
	DupConns      int64  `json:"dup_conns"`       // gauge: their conns
	DupConnsTotal uint64 `json:"dup_conns_total"` // conns that met another of their key, ever

	HomeMovesIn  uint64 `json:"home_moves_in"`
	HomeMovesOut uint64 `json:"home_moves_out"`

	Received     ByKind            `json:"received"`      // from peers and siblings
	ForwardedIn  uint64            `json:"forwarded_in"`  // of these, packets from siblings
	Sent         ByKind            `json:"sent"`          // to peers and siblings
	ForwardedOut uint64            `json:"forwarded_out"` // of these, packets to siblings
	Dropped      map[string]ByKind `json:"dropped"`       // by reason, see drop.go

	OutboxBytes  int64 `json:"outbox_bytes"`  // gauge: memory of what waits for receivers that are behind
	OutboxMemory int64 `json:"outbox_memory"` // gauge: what that may be; 0: as much as they like

	Pings         uint64            `json:"pings"`
	Pongs         uint64            `json:"pongs"`
	KeepAlives    uint64            `json:"keep_alives"`
	PeerGone      map[string]uint64 `json:"peer_gone"` // by derp.Reason
	UnknownFrames uint64            `json:"unknown_frames"`
	Ended         map[string]uint64 `json:"ended"`       // conns and logins, by reason, see end.go
	LinksEnded    map[string]uint64 `json:"links_ended"` // the same of links

	Limited map[string]Limited `json:"limited"` // by what was used up: in, out, total, or nothing: they brought no packet

	OutboxTime    Histogram `json:"outbox_time"`    // seconds that packets sent have waited in outboxes
	LoginTime     Histogram `json:"login_time"`     // seconds from the greeting until the peer has proven its key
	AdmissionTime Histogram `json:"admission_time"` // seconds that Config.Admit took, whatever it said
	RoundTrip     Histogram `json:"round_trip"`     // seconds, of conns over TCP at their logins and KeepAlives
	BurstPackets  Histogram `json:"burst_packets"`  // packets that were received at once
	FlushFrames   Histogram `json:"flush_frames"`   // frames that were written at once, packets and others
	NewsFrames    Histogram `json:"news_frames"`    // of these, those to siblings that are no packets: nearly all say who has come or left
}

// A Histogram counts values by how large they are.
type Histogram struct {
	Bounds []float64 `json:"bounds"` // of the buckets, upwards, each of which its bucket still has
	Counts []uint64  `json:"counts"` // values in each bucket, not cumulative; one more, for what is above the last bound
	Sum    float64   `json:"sum"`    // of all values
}

// A Limited says how much was made to wait because somebody had used what he may.
type Limited struct {
	Bursts uint64 `json:"bursts"` // after which a conn was not read for a while
	Bytes  uint64 `json:"bytes"`  // that they brought
	MS     uint64 `json:"ms"`     // milliseconds that conns were not read, all together
}

// A Survey is the state of a relay at one moment.
type Survey struct {
	Counters

	Draining bool         `json:"draining"`
	Queued   int64        `json:"queued"` // packets that wait in outboxes, as Counters have it; a burst more or less under traffic
	Links    []LinkState  `json:"links"`  // that are up now: the sibling has told of its peers
	Groups   []GroupState `json:"groups"` // that have conns now
}

// A GroupState is those conns that are counted together, see Admission.Group.
type GroupState struct {
	Name     string  `json:"name"`
	Conns    int     `json:"conns"`
	Received Traffic `json:"received"` // since the group had its first conn
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

	Sent      Traffic       `json:"sent"`       // to it
	Dropped   Traffic       `json:"dropped"`    // packets for it that were given up
	Waited    time.Duration `json:"waited"`     // by the packets sent to it, all together
	RoundTrip time.Duration `json:"round_trip"` // of TCP, as the kernel has said last; 0: unknown
}

// Counters returns the counters as they are now. It takes no lock and visits
// nobody, so it may be asked as often as one likes.
func (s *Server) Counters() (c Counters) {
	s.ReadCounters(&c)
	return c
}

// ReadCounters is Counters for those who ask again and again: what c has from the time
// before, its maps and histograms, is written over, and no memory is taken.
func (s *Server) ReadCounters(c *Counters) {
	n, peers := &s.count, s.routes.peers.Load()
	book := ledger.Totals{Waits: zeroed(c.OutboxTime), Bursts: zeroed(c.BurstPackets), Flushes: zeroed(c.FlushFrames), News: zeroed(c.NewsFrames)}
	n.book.AddTo(&book)
	*c = Counters{
		Accepts: n.accepts.Load(), Admitting: s.asking.Load(),
		Conns: n.conns.Load(), Peers: peers, Homes: n.homes.Load(),
		NotIdeal: n.notIdeal.Load(), Watchers: n.watchers.Load(),
		RemotePeers:   max(0, int64(s.routes.table.Len())-peers),
		WrongMeshKeys: n.wrongMeshKeys.Load(), LinkTries: n.linkTries.Load(),
		DupKeys: n.dupKeys.Load(), DupConns: n.dupConns.Load(), DupConnsTotal: n.dupConnsTotal.Load(),
		HomeMovesIn: n.homeMovesIn.Load(), HomeMovesOut: n.homeMovesOut.Load(),
		Received: byKind(book.In), ForwardedIn: book.Forwarded,
		Sent: byKind(book.Out), ForwardedOut: book.PassedOn,
		OutboxBytes: s.outboxes.Used(), OutboxMemory: s.outboxes.Most(),
		Pings: n.pings.Load(), Pongs: n.pongs.Load(), KeepAlives: n.keepAlives.Load(), UnknownFrames: n.unknownFrames.Load(),
		Dropped: again(c.Dropped), PeerGone: again(c.PeerGone), Limited: again(c.Limited),
		Ended: again(c.Ended), LinksEnded: again(c.LinksEnded),
		OutboxTime: Histogram(book.Waits), BurstPackets: Histogram(book.Bursts),
		FlushFrames: Histogram(book.Flushes), NewsFrames: Histogram(book.News),
		LoginTime:     seconds(&n.loginTime, c.LoginTime),
		AdmissionTime: seconds(&n.admissionTime, c.AdmissionTime),
		RoundTrip:     seconds(&n.roundTrip, c.RoundTrip),
	}
	for r := range ledger.Reasons {
		c.Dropped[r.String()] = byKind(book.Lost[r])
	}
	for r := range n.peerGone {
		c.PeerGone[derp.Reason(r).String()] = n.peerGone[r].Load()
	}
	for r := range limit.Reasons {
		bursts, bytes, d := n.rests.Of(r)
		c.Limited[r.String()] = Limited{bursts, bytes, uint64(d.Milliseconds())}
	}
	for r, end := range ends {
		c.LinksEnded[end.name] = n.linksEnded[r].Load()
		if !end.links {
			c.Ended[end.name] = n.closed[r].Load()
		}
	}
}

// Survey returns the counters, and the states of links and groups. It visits no conn:
// with very many it costs as little as with few.
func (s *Server) Survey() Survey {
	survey := Survey{Counters: s.Counters(), Groups: s.groupStates()}
	survey.Queued = survey.underWay()
	survey.Links, survey.Draining = s.routes.linkStates(s.now())
	return survey
}

// underWay returns how many packets have come and are neither sent nor dropped.
func (c *Counters) underWay() int64 {
	sum := func(k ByKind) int64 { return int64(k.Disco.Packets + k.Other.Packets) }
	left := sum(c.Received) - sum(c.Sent)
	for _, of := range c.Dropped {
		left -= sum(of)
	}
	return max(0, left) // what is sent in the middle of a burst has not been received yet
}

// queued returns how many packets wait in outboxes, by visiting each.
func (s *Server) queued() (packets int64) {
	for c := range s.routes.all {
		packets += int64(c.out.queued())
	}
	s.routes.eachLink(func(l *link) { packets += int64(l.out.queued()) })
	return packets
}

// linkStates returns the links by name, and whether the relay drains.
func (r *routes) linkStates(now int64) (states []LinkState, draining bool) {
	states = []LinkState{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for l := range r.links {
		if l.told.Load() {
			states = append(states, l.stateLocked(now))
		}
	}
	slices.SortFunc(states, func(a, b LinkState) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.Up, a.Up)) })
	return states, r.draining
}

func (l *link) stateLocked(now int64) LinkState {
	queued, account := l.out.state()
	return LinkState{
		Name: l.to.Name, Addr: l.to.Addr, Key: l.key, Up: time.Duration(now - l.since),
		Peers: len(l.announced), Queued: queued, Restarting: l.restarting,
		Sent: Traffic(account.Sent), Dropped: Traffic(account.Lost), Waited: time.Duration(account.Waited), RoundTrip: l.lastRoundTrip(),
	}
}

// groupStates returns the groups by name.
func (s *Server) groupStates() []GroupState {
	states := []GroupState{}
	for _, g := range s.groups.States() {
		states = append(states, GroupState{g.Name, g.Members, Traffic{g.Packets, g.Bytes}})
	}
	return states
}

// seconds returns a histogram of nanoseconds, in the memory of an older one.
func seconds(h *histogram.Histogram, old Histogram) Histogram {
	now := zeroed(old)
	h.AddTo(&now, 1e9)
	return Histogram(now)
}

func zeroed(h Histogram) histogram.Snapshot { return histogram.Snapshot(h).Zeroed() }

func again[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	clear(m)
	return m
}

func byKind(of [ledger.Kinds]ledger.Amount) ByKind {
	return ByKind{Disco: Traffic(of[ledger.Disco]), Other: Traffic(of[ledger.Data])}
}
