package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/packetqueue"
	"github.com/detour-relay/detour/key"
)

// RelayConfig is one relay of a region, and how to reach it.
type RelayConfig struct {
	Name string // what other nodes call it; said in Ideal-Node while we are on another one
	Config
}

// RegionConfig says which relays make up a region. Nodes is required.
type RegionConfig struct {
	Nodes []RelayConfig // in order of preference; all have the same Key

	// OnState is told every change of State, one at a time and in order. It must
	// return soon, and must not call Close.
	OnState func(RegionState)
}

// RegionState says whether a Region is connected.
type RegionState struct {
	Connected bool
	Node      int        // index of the node that we are connected to, or were last
	Name      string     // of that node
	ServerKey key.Public // of that node
	Since     time.Time  // when it connected or disconnected
	Err       error      // not connected: why not; nil before the first attempt has failed
}

// RegionStats counts what a Region did in silence.
type RegionStats struct {
	Connects        uint64 // connections on which a relay admitted us
	Handovers       uint64 // those of them that took over from one whose relay restarts
	SilentFailovers uint64 // those of them that took over from one whose relay had fallen silent
	Unsent          uint64 // packets refused with ErrNotConnected
	Unread          uint64 // received messages dropped because Recv was not called for many connections long
}

// Region stays connected to one of several relays. It reconnects by itself until
// Close. One goroutine at a time may call Recv, any number everything else.
type Region struct {
	// Set once, by NewRegion.
	relays  []*regionRelay
	onState func(RegionState)
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup // every goroutine of ours

	current   atomic.Pointer[session] // where packets are sent; nil: not connected; written by the keeper
	state     atomic.Pointer[RegionState]
	preferred atomic.Bool
	timeout   atomic.Int64 // of a relay that is asked while packets are sent, a time.Duration
	stats     regionCounters

	tag       any        // marks what is put into recvQueue; set once
	recvQueue *recvQueue // set once

	heard  atomic.Int64  // when anything came in last, as time since born; 0: never
	born   time.Time     // set once
	nudged chan struct{} // the network has changed

	keeper keeper
}

type regionCounters struct {
	connects, handovers, silentFailovers, unsent, unread atomic.Uint64
}

// regionRelay is a RelayConfig that was found valid.
type regionRelay struct {
	index int
	name  string
	cfg   Config

	// Owned by the keeper.
	unsteadyUntil time.Time // it broke a new connection; until then it is tried after the others
}

// NewRegion begins to connect, and returns before it is connected.
func NewRegion(cfg RegionConfig) (*Region, error) {
	return newRegion(cfg, nil, nil)
}

// newRegion makes a Region that puts what it receives into a queue, marked with a
// tag; nil: into its own.
func newRegion(cfg RegionConfig, queue *recvQueue, tag any) (*Region, error) {
	if len(cfg.Nodes) == 0 {
		return nil, errors.New("region: no nodes")
	}
	r := &Region{onState: cfg.OnState, tag: tag, recvQueue: queue, born: time.Now(), nudged: make(chan struct{}, 1)}
	for i, n := range cfg.Nodes {
		checked, err := newRegionRelay(i, n, cfg.Nodes[0])
		if err != nil {
			return nil, fmt.Errorf("region: node %d of %d: %w", i+1, len(cfg.Nodes), err)
		}
		r.relays = append(r.relays, checked)
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if queue == nil {
		r.recvQueue = packetqueue.NewRecv[Message](r.ctx.Done())
	}
	r.preferred.Store(cfg.Nodes[0].Preferred)
	r.timeout.Store(int64(sendTimeout))
	r.state.Store(&RegionState{Name: r.relays[0].name, Since: time.Now()})
	r.running.Go(r.keep)
	return r, nil
}

func newRegionRelay(index int, n, first RelayConfig) (*regionRelay, error) {
	cfg := n.Config
	if index > 0 && cfg.IdealNode == "" && printable(first.Name) {
		cfg.IdealNode = first.Name
	}
	t, err := newLogin(cfg)
	if err != nil {
		return nil, err
	}
	if !cfg.Key.Equal(first.Key) {
		return nil, errors.New("its key differs from that of the first node")
	}
	cfg.DialContext = withTCPTimeout(t.Target.DialContext)
	return &regionRelay{index: index, name: n.Name, cfg: cfg}, nil
}

// State returns the state of now. It never waits.
func (r *Region) State() RegionState { return *r.state.Load() }

// Heard returns when anything came in last from a relay of the region; zero: never.
// It never waits.
func (r *Region) Heard() time.Time {
	if since := r.heard.Load(); since != 0 {
		return r.born.Add(time.Duration(since))
	}
	return time.Time{}
}

// NetworkChanged tells that interfaces, addresses or routes of this host have
// changed: a connection that does not work any more is found within 3 s, and where
// there is none, it is tried again at once.
func (r *Region) NetworkChanged() {
	select {
	case r.nudged <- struct{}{}:
	default:
	}
}

// Stats returns the counts up to now.
func (r *Region) Stats() RegionStats {
	return RegionStats{
		Connects:        r.stats.connects.Load(),
		Handovers:       r.stats.handovers.Load(),
		SilentFailovers: r.stats.silentFailovers.Load(),
		Unsent:          r.stats.unsent.Load(),
		Unread:          r.stats.unread.Load(),
	}
}

// SetPreferred says whether the region is our home, to this relay and to those that
// we connect to later. Config.Preferred of the first node is where it begins.
func (r *Region) SetPreferred(preferred bool) {
	r.preferred.Store(preferred)
	if s := r.current.Load(); s != nil {
		s.tellPreferred(&r.preferred)
	}
}

// Close disconnects. Calls that wait return ErrClosed. It may be called from
// anywhere but OnState, more than once; when it returns, no goroutine is left. It
// returns nil.
func (r *Region) Close() error {
	r.cancel()
	r.running.Wait()
	return nil
}

// setState is called by the keeper only.
func (r *Region) setState(s RegionState) {
	r.state.Store(&s)
	if r.onState != nil {
		r.onState(s)
	}
}
