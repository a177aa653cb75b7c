package coordstate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// bucket is how much of a bucket is known. Guarded by State.mu.
type bucket struct {
	name      string
	number    int // of a soft one; -1: hard
	epoch     string
	epochHash uint64
	pos       uint64 // of the last change that has been told
	whole     uint64 // the last pos up to which nothing had been left out
	loaded    bool   // pos means something
	current   bool   // and the watcher can be heard
	gen       uint8  // of the load

	// Of the load that goes on.
	loading bool
	base    uint64             // position before it
	pending []coordstore.Entry // what is later than base
	atEnd   bool               // nothing was behind what it has told last

	// What a load has not told of may be gone, or be told of yet in a later state.
	doubt  bool
	decide uint64 // the revision that tells; 0: not known yet

	waiters []waiter
}

// isWhole reports whether what is known is what stood at pos. Otherwise a change was
// left out, because another of the same key follows: until that has come, what is known
// is no state that ever was, and nothing of it is told.
func (b *bucket) isWhole() bool { return b.whole == b.pos }

type waiter struct {
	rev uint64
	ch  chan struct{}
}

type orphan struct {
	tailnet string
	key     key.Public
}

// State is everything. Its methods may be called from anywhere.
type State struct {
	own      string // what the coordinator is called that has it
	mu       sync.RWMutex
	start    time.Time
	hard     *bucket
	softs    [coordstore.SoftBuckets]*bucket
	index    index
	versions versions
	tailnets map[string]*tailnet
	byName   map[string]*tailnet
	invites  map[[8]byte]*tailnet
	orphans  map[orphan]soft // reports of who is no member, yet or any more
	relays   map[string]*relay
	byToken  map[[sha256.Size]byte]*relay
	single   map[string]single // map, secret, names, tick
	dmap     mapState
	here     map[string]*presence
	gone     goneRing
	members  int // that stand
	subs     int
	serial   uint64 // of the last sub
	bad      int    // records that cannot be read

	changes, snapshots, resumes atomic.Uint64
}

type single struct {
	value []byte
	rev   uint64
	gen   uint8
}

type mapState struct {
	m       *derpmap.Map
	rev     uint64
	version string // 16 hex digits; empty: no map
	hash    uint64
	since   int64
	by      string
}

type relay struct {
	name   string
	record RelayRecord
	rev    uint64
	gen    uint8
	subs   map[*RelaySub]struct{}
}

// New returns a State that knows nothing, of the coordinator of that name.
func New(own string) *State {
	s := &State{
		own: own, start: time.Now(), hard: &bucket{name: coordstore.Hard, number: -1},
		index:    index{maphash.MakeSeed(), map[uint64]*member{}},
		versions: versions{[]string{""}, map[string]uint32{"": 0}},
		tailnets: map[string]*tailnet{}, byName: map[string]*tailnet{}, invites: map[[8]byte]*tailnet{},
		orphans: map[orphan]soft{}, relays: map[string]*relay{}, byToken: map[[sha256.Size]byte]*relay{},
		single: map[string]single{}, here: map[string]*presence{},
	}
	for n := range s.softs {
		s.softs[n] = &bucket{name: coordstore.Soft(n), number: n}
	}
	return s
}

// now is the time of this process, whatever the clock says.
func (s *State) now() int64 { return int64(time.Since(s.start)) }

func (s *State) bucket(name string) *bucket {
	for _, b := range s.softs {
		if b.name == name {
			return b
		}
	}
	return s.hard
}

// Ready reports whether all buckets have been loaded.
func (s *State) Ready() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, b := range s.softs {
		if !b.loaded {
			return false
		}
	}
	return s.hard.loaded
}

// Broken says that the watching of a bucket has ended.
func (s *State) Broken(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bucket(name)
	b.current, b.loading, b.pending = false, false, nil
}

// Stale reports whether there may be news of a tailnet that cannot be heard.
func (s *State) Stale(id string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !s.hard.current || !s.softs[coordstore.SoftOf(id)].current
}

// Unheard lists the buckets whose watcher cannot be heard.
func (s *State) Unheard() (names []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, name := range coordstore.Buckets() {
		if !s.bucket(name).current {
			names = append(names, name)
		}
	}
	return names
}

// Wait waits until a revision of a bucket is known, or ctx ends.
func (s *State) Wait(ctx context.Context, bucket string, rev uint64) error {
	s.mu.Lock()
	b := s.bucket(bucket)
	if b.loaded && b.pos >= rev {
		s.mu.Unlock()
		return nil
	}
	w := waiter{rev, make(chan struct{})}
	b.waiters = append(b.waiters, w)
	s.mu.Unlock()
	select {
	case <-w.ch:
		return nil
	case <-ctx.Done():
		s.forget(b, w)
		return ctx.Err()
	}
}

// Position is up to which revision a bucket is known.
func (s *State) Position(bucket string) uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.bucket(bucket).pos
}

func (s *State) forget(b *bucket, w waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.waiters {
		if b.waiters[i].ch == w.ch {
			b.waiters = append(b.waiters[:i], b.waiters[i+1:]...)
			return
		}
	}
}

// reached lets go those who wait. Another history lets all go: they look again.
func (b *bucket) reached(all bool) {
	kept := b.waiters[:0]
	for _, w := range b.waiters {
		if all || w.rev <= b.pos {
			close(w.ch)
			continue
		}
		kept = append(kept, w)
	}
	b.waiters = kept
}

func tokenHash(hash string) (h [sha256.Size]byte, ok bool) {
	n, err := hex.Decode(h[:], []byte(hash[:min(len(hash), 2*sha256.Size)]))
	return h, err == nil && n == len(h) && len(hash) == 2*len(h)
}
