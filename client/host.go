package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/mailbox"
	"github.com/detour-relay/detour/internal/packetqueue"
	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/internal/reported"
	"github.com/detour-relay/detour/internal/whereabouts"
	"github.com/detour-relay/detour/key"
)

// A Host, in the order of what happens:
//
//  1. The driver (host_driver.go) takes maps (host_map.go), has regions measured,
//     chooses the home and moves it (host_home.go), and closes what is idle.
//  2. Send (host_send.go) finds the region of a peer (internal/whereabouts) and
//     puts the packet into its queue (internal/packetqueue).
//  3. The writer of the region (host_region.go) sends what is queued by way of a
//     Region.
//  4. What comes in goes from the readers of the Regions (region_recv.go) to Recv
//     (host_recv.go), which learns from it where to answer.

// HostConfig says who a Host is and where it learns of regions. Key is required,
// and one of Map and WatchMap.
type HostConfig struct {
	Key key.Private

	// Map is the DERP map to begin with; it is copied. WatchMap is called once, and
	// calls on with each further map, or an error, until ctx ends; then it returns.
	// It may be the Watch of a derpmap.Fetcher. Maps are updates as clients get
	// them: without Regions the regions stay, and without HomeParams those.
	Map      *derpmap.Map
	WatchMap func(ctx context.Context, on func(*derpmap.Map, error))

	// ReportHome tells the coordination server which region is home, so that others
	// send there; nil: nobody is told. It is called when the home has changed and we
	// are connected to it, and after each full report. One that fails is repeated,
	// unless there is a newer home.
	//
	// Until it has returned nil for another region, the region that it returned nil
	// for last stays open, as others send there; and as long as a report is
	// outstanding, the home does not move only because another is nearer.
	ReportHome func(ctx context.Context, home Home) error

	// ReportedHome is the region that the coordination server has taken from an
	// earlier Host with this key; 0: none, or not known. It is kept open like one
	// that ReportHome returned nil for. Without ReportHome it has no effect.
	ReportedHome int

	// OnState is told the latest state when it has changed, one call at a time.
	OnState func(HostState)

	// OnEvent is told the messages that are no packets, by ReadPackets and in its
	// goroutine. It must return soon, and must not call Close. nil: they are
	// dropped.
	OnEvent func(Message)

	// OnUnknown is told that a packet has come in from a peer of which SetPeerHome
	// has told no home, so that the coordination server can be asked about it: by
	// Recv or ReadPackets, in their goroutine, before they return that packet. It
	// must return soon, and must not call Close. Of one peer it hears again if there
	// is still no home after 5 s, when the next packet comes in; of all together 64
	// times at once and 16 times a second, as a relay can make up any number. Where
	// nobody calls SetPeerHome every peer is unknown. nil: nobody is told. Either way
	// the packet is returned, and answers find the peer.
	OnUnknown func(key.Public)

	// MaxAge is how long packets wait in the queue of a region, for a connection or
	// until what is before them is written; 10 ms to 1 min. 0: 5 s, which suits
	// discovery; what is in a tunnel is better sent anew after 200 ms.
	MaxAge time.Duration

	// Tailnet, if it is not empty, puts the nodes of each region into the order for
	// it; see derpmap.Order. Otherwise they are in the order of the map.
	Tailnet string

	// Base is how to reach relays: all fields count that do not say which relay it
	// is, and as whom.
	Base Config
	// ListenPacket opens the UDP sockets for STUN; network is "udp4" or "udp6".
	// nil: net.ListenConfig.
	ListenPacket func(ctx context.Context, network, address string) (net.PacketConn, error)
	// Lookup finds where STUN goes for nodes without addresses in the map; network
	// is "ip4" or "ip6". nil: net.DefaultResolver.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

	Logger *slog.Logger // nil discards
}

const leastAge, mostAge = 10 * time.Millisecond, time.Minute // of packets in a queue

// HostState is what a Host is doing.
type HostState struct {
	Home      Home // the last one that was reported, or would have been; Region 0: none yet
	Connected bool // to a relay of Home.Region
	Regions   []HostRegionState
	MapErr    error // why the last map could not be had; nil: it could

	// What the coordination server has heard. Reported is the region that it took
	// last, where others send to; 0: none. Pending is since when a report waits to be
	// taken, zero if none does, and ReportErr why the last one was not; nil: it was, or
	// there was none yet.
	Reported  int
	Pending   time.Time
	ReportErr error
}

// same reports whether there is nothing new in b that OnState should tell.
func (s *HostState) same(b *HostState) bool {
	return s.Home.Region == b.Home.Region && s.Home.Report.Start.Equal(b.Home.Report.Start) && s.Connected == b.Connected &&
		(s.MapErr == nil) == (b.MapErr == nil) && s.Reported == b.Reported && s.Pending.Equal(b.Pending) &&
		(s.ReportErr == nil) == (b.ReportErr == nil) && slices.EqualFunc(s.Regions, b.Regions, func(x, y HostRegionState) bool {
		return x.ID == y.ID && x.Connected == y.Connected && x.Node == y.Node
	})
}

// HostRegionState is a region that a Host has open.
type HostRegionState struct {
	ID int
	RegionState
}

// HostStats counts what a Host did in silence.
type HostStats struct {
	Queued   uint64 // packets taken by Send
	Dropped  uint64 // of them, those that waited too long, or for which there was no room
	NoRegion uint64 // packets refused with ErrNoRegion
	Reports  uint64 // rounds of measuring
	Moves    uint64 // changes of home, the first included
}

// Host is a peer that can be reached: it measures the regions of a DERP map, stays
// connected to the one that is its home, and opens others when it sends to peers
// who live there. One goroutine at a time may call Recv, any number everything
// else.
type Host struct {
	// Set once, by NewHost.
	cfg     HostConfig
	log     *slog.Logger
	born    time.Time
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup

	recvQueue *recvQueue // set once

	mu      sync.RWMutex
	defs    map[int]*derpmap.Region         // guarded by mu: regions of the map; nil: cannot be used
	regions map[int]*hostRegion             // guarded by mu: those that are open
	ending  map[int]<-chan struct{}         // guarded by mu: closed when the last one of that ID has ended
	peers   *whereabouts.Table[*hostRegion] // guarded by mu
	homeID  int                             // guarded by mu: written by the driver

	// For the driver.
	changed  chan struct{} // a region has, or traffic has begun
	maps     chan mapUpdate
	network  chan struct{} // NetworkChanged
	asleep   atomic.Bool   // until there is traffic
	sentAt   atomic.Int64  // time of the Host's life
	received atomic.Bool   // since lastTraffic

	hasIPv6  atomic.Bool // the last report says so
	state    atomic.Pointer[HostState]
	reporter *reported.Reporter[Home]
	states   *mailbox.Mailbox[HostState]
	stats    hostCounters

	homesTold atomic.Uint64 // calls of SetPeerHome

	// Owned by the caller of Recv.
	lastHeard lastHeard
	unknown   rate.Bucket
}

type hostCounters struct{ queued, dropped, noRegion, reports, moves atomic.Uint64 }

// NewHost begins to measure and to connect, and returns before it is connected.
func NewHost(cfg HostConfig) (*Host, error) {
	if cfg.Map == nil && cfg.WatchMap == nil {
		return nil, errors.New("host: neither Map nor WatchMap: want one to learn of regions")
	}
	cfg.Base.Key, cfg.Base.URL, cfg.Base.Preferred, cfg.Base.IdealNode = cfg.Key, "http://base", false, ""
	if _, err := newLogin(cfg.Base); err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	if cfg.MaxAge = cmp.Or(cfg.MaxAge, packetqueue.DefaultAge); cfg.MaxAge < leastAge || cfg.MaxAge > mostAge {
		return nil, fmt.Errorf("host: MaxAge is %v: want %v to %v, or 0 for %v", cfg.MaxAge, leastAge, mostAge, packetqueue.DefaultAge)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Map = cfg.Map.Clone()
	h := &Host{
		cfg: cfg, log: cfg.Logger, born: time.Now(),
		regions: make(map[int]*hostRegion), ending: make(map[int]<-chan struct{}),
		peers:   whereabouts.New[*hostRegion](),
		changed: make(chan struct{}, 1), maps: make(chan mapUpdate), network: make(chan struct{}, 1),
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.recvQueue = packetqueue.NewRecv[Message](h.ctx.Done())
	h.state.Store(new(HostState))
	h.reporter, h.states = reported.New(Home.region, cfg.ReportHome, cfg.ReportedHome, h.wakeDriver), mailbox.New[HostState]()
	h.start()
	return h, nil
}

func (h *Host) start() {
	if h.cfg.ReportHome != nil {
		h.running.Go(func() { h.reporter.Run(h.ctx) })
	}
	if h.cfg.OnState != nil {
		h.running.Go(func() {
			h.states.Deliver(h.ctx, func(_ context.Context, s HostState) error { h.cfg.OnState(s); return nil })
		})
	}
	h.running.Go(newDriver(h).run)
	if h.cfg.WatchMap != nil {
		h.running.Go(func() { h.cfg.WatchMap(h.ctx, h.offerMap) })
	}
}

// Close disconnects from all regions. Calls that wait return ErrClosed. It may be
// called more than once, and from anywhere but the functions of HostConfig; when it
// returns, no goroutine is left. It returns nil.
func (h *Host) Close() error {
	h.cancel()
	h.running.Wait()
	return nil
}

// State returns the state of now. It never waits.
func (h *Host) State() HostState { return *h.state.Load() }

// Stats returns the counts up to now.
func (h *Host) Stats() HostStats {
	return HostStats{
		Queued: h.stats.queued.Load(), Dropped: h.stats.dropped.Load(), NoRegion: h.stats.noRegion.Load(),
		Reports: h.stats.reports.Load(), Moves: h.stats.moves.Load(),
	}
}

// AwaitHome waits until there is a home and we are connected to it, and returns it.
// It fails when ctx ends, and with ErrClosed.
func (h *Host) AwaitHome(ctx context.Context) (Home, error) {
	look := time.NewTicker(homeLook)
	defer look.Stop()
	for {
		if s := h.State(); s.Connected {
			return s.Home, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return Home{}, context.Cause(ctx)
		case <-h.ctx.Done():
			return Home{}, ErrClosed
		}
	}
}

const homeLook = 10 * time.Millisecond

// NetworkChanged tells that interfaces, addresses or routes of this host have
// changed: everything is measured anew, and connections that do not work any more
// are found soon.
func (h *Host) NetworkChanged() {
	select {
	case h.network <- struct{}{}:
	default:
	}
}

// wakeDriver has the driver look at everything again: a region has changed, or
// traffic has begun.
func (h *Host) wakeDriver() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// prefersIPv6 is asked by dials to relays.
func (h *Host) prefersIPv6() bool { return h.hasIPv6.Load() }
