package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/measure"
	"github.com/detour-relay/detour/internal/packetqueue"
)

const (
	idleTime = 60 * time.Second // a region that nothing is sent to is closed then (spec section 10.3)
	idleLook = 15 * time.Second

	lingerWriter = 5 * time.Second // for more to send

	// retireTime is how long a region whose definition has changed is kept for what
	// still comes in, at most.
	retireTime = 10 * time.Second
	retireLook = 100 * time.Millisecond
)

// hostRegion is a region that a Host is connected to, or connecting. Besides the
// goroutines of its Region it has a writer while there is something to send.
type hostRegion struct {
	// Set once.
	id     int
	host   *Host
	def    *derpmap.Region
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when all goroutines of it have ended

	mu        sync.Mutex             // held while region is made
	cfg       RegionConfig           // for that, empty afterwards
	region    atomic.Pointer[Region] // nil at first
	writing   sync.WaitGroup         // the writer
	home      atomic.Bool            // to be told to relays
	sendQueue *packetqueue.Send
	arrived   chan struct{} // tells that it has connected
	breaks    atomic.Uint64 // how often it has lost its connection: what was learned before is void
	lastSent  atomic.Int64  // time of the Host's life
	state     atomic.Pointer[RegionState]
	batch     []Packet // owned by the writer
}

// newHostRegion returns a region that is not started, and an error if none of its
// nodes can be used.
func (h *Host) newHostRegion(def *derpmap.Region, id int, isHome bool) (*hostRegion, error) {
	r := &hostRegion{
		id: id, host: h, def: def,
		done: make(chan struct{}), arrived: make(chan struct{}, 1),
	}
	r.sendQueue = packetqueue.NewSend(func() { r.writing.Go(r.write) }, h.cfg.MaxAge, &h.stats.dropped)
	r.home.Store(isHome)
	r.lastSent.Store(int64(h.now()))
	r.state.Store(&RegionState{})
	failed := errors.New("it has no relay")
	for _, at := range measure.Relays(def) {
		cfg := h.cfg.Base.atNode(at, h.prefersIPv6)
		if _, err := newLogin(cfg); err != nil {
			failed = err
			continue
		}
		r.cfg.Nodes = append(r.cfg.Nodes, RelayConfig{Name: at.Name, Config: cfg})
	}
	if len(r.cfg.Nodes) == 0 {
		return nil, failed
	}
	r.cfg.OnState = r.noteState
	r.ctx, r.cancel = context.WithCancel(h.ctx)
	return r, nil
}

// noteState is called by the Region, which waits for it.
func (r *hostRegion) noteState(s RegionState) {
	before := r.state.Swap(&s)
	if before.Connected && !s.Connected {
		r.breaks.Add(1)
	}
	if s.Connected {
		select {
		case r.arrived <- struct{}{}:
		default:
		}
	}
	r.host.wakeDriver()
}

func (r *hostRegion) connected() bool { return r.state.Load().Connected }

// What is to be known of it to remember who was heard here.
func (r *hostRegion) ID() int        { return r.id }
func (r *hostRegion) Breaks() uint64 { return r.breaks.Load() }
func (r *hostRegion) Ended() bool    { return r.ctx.Err() != nil }

// setHome says whether it is the home.
func (r *hostRegion) setHome(isHome bool) {
	r.home.Store(isHome)
	if region := r.region.Load(); region != nil {
		region.SetPreferred(isHome)
	}
}

// begin connects, once before is closed, if that is not nil. Everything ends with
// the context.
func (r *hostRegion) begin(before <-chan struct{}) {
	r.host.running.Add(1)
	context.AfterFunc(r.ctx, r.end)
	if before != nil {
		select {
		case <-before:
		case <-r.ctx.Done():
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return
	}
	r.cfg.Nodes[0].Preferred = r.home.Load()
	region, err := newRegion(r.cfg, r.host.recvQueue, r)
	if err != nil {
		r.noteState(RegionState{Err: err}) // cannot be: the nodes were found valid
		return
	}
	r.cfg = RegionConfig{} // the Region has it
	r.region.Store(region)
	region.SetPreferred(r.home.Load()) // it may have changed meanwhile
	r.sendQueue.Open()
}

// end is called when the context has ended.
func (r *hostRegion) end() {
	defer r.host.running.Done()
	defer close(r.done)
	r.sendQueue.Close()
	r.mu.Lock()
	region := r.region.Load()
	r.mu.Unlock()
	if region != nil {
		region.Close()
	}
	r.writing.Wait()
}

// write sends what is queued, until nothing was for a while.
func (r *hostRegion) write() {
	region := r.region.Load()
	linger := time.NewTimer(lingerWriter)
	defer linger.Stop()
	for {
		select {
		case <-r.sendQueue.Filled():
			b := r.sendQueue.Take(r.host.now())
			for r.send(region, b) == ErrNotConnected && r.awaitArrival(b) {
			}
			linger.Reset(lingerWriter)
		case <-linger.C:
			r.batch = nil
			if r.sendQueue.Leave() {
				return
			}
		case <-r.ctx.Done():
			return
		}
	}
}

func (r *hostRegion) send(region *Region, b *packetqueue.Batch) error {
	r.batch = r.batch[:0]
	for peer, packet := range b.All() {
		r.batch = append(r.batch, Packet{peer, packet})
	}
	if len(r.batch) == 0 {
		return nil
	}
	return region.SendBatch(r.batch)
}

// awaitArrival waits for a connection, and reports whether there is something left
// to send over it.
func (r *hostRegion) awaitArrival(b *packetqueue.Batch) bool {
	oldest := time.NewTimer(0)
	defer oldest.Stop()
	for !r.connected() {
		select {
		case <-r.arrived:
		case <-oldest.C:
			left := r.sendQueue.DropOld(b, r.host.now())
			if left == 0 {
				return false
			}
			oldest.Reset(left + time.Millisecond) // what is a little younger goes, too
		case <-r.ctx.Done():
			return false
		}
	}
	return true
}

// close ends the region without waiting.
func (r *hostRegion) close() {
	r.sendQueue.Close()
	r.cancel()
}

// retire closes the region once its successor has connected.
func (r *hostRegion) retire(successor *hostRegion) {
	defer r.close()
	r.sendQueue.Close()
	limit := time.NewTimer(retireTime)
	defer limit.Stop()
	look := time.NewTicker(retireLook)
	defer look.Stop()
	for !successor.connected() {
		select {
		case <-look.C:
		case <-limit.C:
			return
		case <-r.ctx.Done():
			return
		}
	}
}
