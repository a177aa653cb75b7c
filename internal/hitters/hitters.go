package hitters

import (
	"context"
	"sync"
	"time"

	"github.com/detour-relay/detour/relay"
)

// Hitters counts who uses a relay. Its methods may be called by any goroutine.
type Hitters struct {
	begun   time.Time  // set once
	looking sync.Mutex // held over a look

	mu      sync.Mutex
	levels  []*level         // guarded by mu, as all below
	conns   map[uint64]state // by PeerState.ID; those that have used nothing are not in it
	look    uint64           // number of the last look, or of the one under way
	looked  time.Duration    // when the last one ended
	current *Snapshot        // of that look; nil: nobody has asked yet
}

// A state is what was seen of a conn.
type state struct {
	used  Use
	look  uint64 // the last one that saw it
	ended bool   // during a look, which may still come to see it as it was before
}

// New begins to count now.
func New() *Hitters {
	return &Hitters{begun: time.Now(), levels: newLevels(), conns: map[uint64]state{}}
}

// Run looks at the conns of a relay again and again until ctx is done.
func (h *Hitters) Run(ctx context.Context, peers func(yield func(relay.PeerState) bool)) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.Look(peers)
		}
	}
}

// Look counts what conns have used since the last look.
func (h *Hitters) Look(peers func(yield func(relay.PeerState) bool)) {
	h.looking.Lock()
	defer h.looking.Unlock()
	h.mu.Lock()
	h.look++
	h.mu.Unlock()
	for p := range peers {
		h.mu.Lock()
		h.seeLocked(&p, false)
		h.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, s := range h.conns {
		if s.ended || s.look != h.look {
			delete(h.conns, id)
		}
	}
	h.looked, h.current = time.Since(h.begun), nil
	turn(h.levels, h.looked)
}

// Ended counts what a conn has used that has ended; it is relay.Config.Ended.
func (h *Hitters) Ended(p relay.PeerState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seeLocked(&p, true)
}

func (h *Hitters) seeLocked(p *relay.PeerState, ended bool) {
	used := Use{
		Received: relay.Traffic{Packets: p.ReceivedPackets, Bytes: p.Received},
		Sent:     relay.Traffic{Packets: p.SentPackets, Bytes: p.Sent},
	}
	s, known := h.conns[p.ID]
	if p.Sibling || s.ended || !ended && used == (Use{}) {
		return // what siblings bring is of peers of theirs
	}
	if used != s.used {
		h.levels[0].now.add(p, used.since(s.used))
	}
	if known || used != (Use{}) {
		h.conns[p.ID] = state{used, h.look, ended}
	}
}

// Snapshot returns who has used most up to the last look. Between two looks it is made
// once, and must not be changed.
func (h *Hitters) Snapshot() *Snapshot {
	h.mu.Lock()
	current, at := h.current, h.looked
	var windows [][]*part
	if current == nil {
		for i := range h.levels {
			windows = append(windows, pieces(h.levels, i, at))
		}
	}
	h.mu.Unlock()
	if current != nil {
		return current
	}
	now := time.Now() // the clock may have been set since the beginning
	current = &Snapshot{At: now.Add(at - now.Sub(h.begun)).UTC()}
	for i, all := range windows { // without the lock: it takes a moment, and parts do not change
		current.Windows = append(current.Windows, window(h.levels[i].name, all, at))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.looked == at {
		h.current = current
	}
	return current
}
