package admit

import (
	"log/slog"
	"sync"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// Decisions are what a part of the chain has decided. Its JSON names are stable.
type Decisions struct {
	Admitted uint64 `json:"admitted"`
	Refused  uint64 `json:"refused"`
	Revoked  uint64 `json:"revoked"` // connections
}

// Deciders are all that decide, in the order of the chain.
var Deciders = []string{SourceBan, SourceApp, SourceKeys, SourceManaged, SourceEveryone, SourceVerify, SourceCoordinator, SourceTailscaled, SourceGrace, SourceOpen, SourceNone}

// counts are of what was decided.
type counts struct {
	mu      sync.Mutex
	by      map[string]Decisions // guarded by mu
	refused map[Reason]uint64    // guarded by mu
	errors  map[string]uint64    // guarded by mu
}

func (c *counts) update(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by, c.refused, c.errors = map[string]Decisions{}, map[Reason]uint64{}, map[string]uint64{}
	}
	change()
}

func (c *counts) decided(d decision) {
	c.update(func() {
		n := c.by[d.source]
		if d.refused == nil {
			n.Admitted++
		} else {
			n.Refused++
			c.refused[d.refused.Reason]++
		}
		c.by[d.source] = n
	})
}

func (c *counts) revoked(source string, conns int) {
	c.update(func() {
		n := c.by[source]
		n.Revoked += uint64(conns)
		c.by[source] = n
	})
}

func (c *counts) failed(source string) { c.update(func() { c.errors[source]++ }) }

const (
	// mostRefusals is how many refusals are logged a minute: whoever makes up keys could
	// fill the disk.
	mostRefusals = 100
)

// refusals are those of this minute, each key logged once.
type refusals struct {
	mu     sync.Mutex
	since  time.Time           // guarded by mu
	logged map[key.Public]bool // guarded by mu
	more   int                 // guarded by mu: not logged
}

func (r *refusals) log(log *slog.Logger, a relay.Applicant, why *Refusal, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.since) >= sparsely {
		if r.more > 0 {
			log.Info("more peers were refused", "count", r.more)
		}
		r.since, r.logged, r.more = now, map[key.Public]bool{}, 0
	}
	if r.logged[a.Peer] {
		return
	}
	if len(r.logged) >= mostRefusals {
		r.more++
		return
	}
	r.logged[a.Peer] = true
	log.Info("a peer is refused", "peer", a.Peer.String(), "addr", a.Addr, "source", why.Source, "reason", why.Detail)
}
