package coordload

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

// Streams are those of a crowd: one for each member, made again whenever it ends.
type Streams struct {
	crowd   *Crowd
	running sync.WaitGroup
	cancel  context.CancelFunc

	// What they were told, and how often they ended.
	Snapshots, Resumes, Peers, Gone, Maps, Beats, Moves, Ends atomic.Int64

	open    atomic.Int64   // streams that are complete: something was told up to a cursor
	openAt  []atomic.Int64 // of them, at each coordinator
	changed chan struct{}
	awaited atomic.Pointer[awaited]

	mu   sync.Mutex
	last error // guarded by mu: why a stream ended last
}

// awaited is a change that all are to see.
type awaited struct {
	disco key.Public
	left  atomic.Int64
	done  chan struct{}
}

// pauseBetween is how long a stream that has ended waits before it goes elsewhere.
const pauseBetween = 50 * time.Millisecond

// Open has all members watch, each through the coordinators in turns, until Close. At
// most so many connect at a time.
func (c *Crowd) Open(atOnce int) *Streams {
	s := &Streams{crowd: c, changed: make(chan struct{}, 1), openAt: make([]atomic.Int64, len(c.cfg.Addrs))}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	gate := make(chan struct{}, atOnce)
	for i := range c.members {
		s.running.Go(func() { s.keep(ctx, i, gate) })
	}
	return s
}

// Close ends all streams. The members keep their cursors.
func (s *Streams) Close() {
	s.cancel()
	s.running.Wait()
}

func (s *Streams) keep(ctx context.Context, i int, gate chan struct{}) {
	for try := 0; ctx.Err() == nil; try++ {
		select {
		case gate <- struct{}{}:
		case <-ctx.Done():
			return
		}
		one := &stream{all: s, at: s.crowd.place(i, try), leave: sync.OnceFunc(func() { <-gate })}
		err := s.crowd.Watch(ctx, i, try, one)
		one.leave()
		if one.complete {
			s.openAt[one.at].Add(-1)
			s.open.Add(-1)
			s.tell()
		}
		if ctx.Err() != nil {
			return
		}
		s.ended(err)
		time.Sleep(pauseBetween)
	}
}

func (s *Streams) ended(err error) {
	s.Ends.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = err
}

// Last is why a stream ended last.
func (s *Streams) Last() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *Streams) tell() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// AwaitOpen waits until n streams are complete. One at a time may wait.
func (s *Streams) AwaitOpen(ctx context.Context, n int) error {
	return s.await(ctx, func() bool { return s.open.Load() >= int64(n) })
}

// AwaitElsewhere waits until n streams are complete, none of them at the coordinator
// of that index in Config.Addrs. One at a time may wait.
func (s *Streams) AwaitElsewhere(ctx context.Context, at, n int) error {
	return s.await(ctx, func() bool { return s.openAt[at].Load() == 0 && s.open.Load() >= int64(n) })
}

func (s *Streams) await(ctx context.Context, come func() bool) error {
	for !come() {
		select {
		case <-s.changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Opened is how many streams are complete.
func (s *Streams) Opened() int { return int(s.open.Load()) }

// OpenedAt is how many of them are at the coordinator of that index in Config.Addrs.
func (s *Streams) OpenedAt(at int) int { return int(s.openAt[at].Load()) }

// AwaitDisco returns a channel that is closed once n streams have been told of a
// member with this disco key. One change at a time can be waited for.
func (s *Streams) AwaitDisco(disco key.Public, n int) <-chan struct{} {
	a := &awaited{disco: disco, done: make(chan struct{})}
	a.left.Store(int64(n))
	s.awaited.Store(a)
	return a.done
}

// stream is one of them.
type stream struct {
	all      *Streams
	complete bool
	at       int    // which coordinator
	leave    func() // the gate
}

func (o *stream) Event(_ int, e *coordapi.Event) {
	s := o.all
	switch e.Type {
	case coordapi.EventSnapshot:
		s.Snapshots.Add(1)
	case coordapi.EventResumed:
		s.Resumes.Add(1)
	case coordapi.EventPeer:
		s.Peers.Add(1)
		s.peer(e.Peer)
	case coordapi.EventGone:
		s.Gone.Add(1)
	case coordapi.EventMap:
		s.Maps.Add(1)
	case coordapi.EventBeat:
		s.Beats.Add(1)
	case coordapi.EventMove:
		s.Moves.Add(1)
	case coordapi.EventAt:
		if !o.complete {
			o.complete = true
			o.leave()
			s.openAt[o.at].Add(1)
			s.open.Add(1)
			s.tell()
		}
	}
}

func (s *Streams) peer(p *coordapi.Peer) {
	a := s.awaited.Load()
	if a != nil && p != nil && p.Disco == a.disco && a.left.Add(-1) == 0 {
		close(a.done)
	}
}
