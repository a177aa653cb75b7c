package coord

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/coordstore"
)

// counts are of this process.
type counts struct {
	joins   atomic.Uint64
	logins  atomic.Uint64
	batches atomic.Uint64
	writes  atomic.Uint64
	failed  atomic.Uint64

	mu      sync.Mutex
	refused map[string]uint64
}

func (c *counts) refuse(code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = map[string]uint64{}
	}
	c.refused[code]++
}

func (c *counts) refusals() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]uint64, len(c.refused))
	for code, n := range c.refused {
		all[code] = n
	}
	return all
}

// Snapshot is how a coordinator is. Counters are since the start of the process.
type Snapshot struct {
	Name         string            `json:"name"`
	Started      time.Time         `json:"started"`
	Ready        bool              `json:"ready"`
	Reason       string            `json:"reason,omitempty"` // why not ready
	Draining     bool              `json:"draining,omitempty"`
	Coordinators []string          `json:"coordinators"` // that live, as far as the store tells
	Tailnets     int               `json:"tailnets"`
	Members      int               `json:"members"`
	Relays       int               `json:"relays"`
	Streams      int               `json:"streams"`        // here, of members and relays
	MemberStream int               `json:"member_streams"` // here, of members
	Changes      uint64            `json:"changes"`        // that members are told
	Sent         uint64            `json:"sent"`           // times that a stream was told something
	Snapshots    uint64            `json:"snapshots"`      // streams that had to begin anew
	Resumes      uint64            `json:"resumes"`        // streams that went on
	Joins        uint64            `json:"joins"`          // that made a member, or found that it was one
	Logins       uint64            `json:"logins"`         // proofs of a key that earned a session
	Writes       uint64            `json:"writes"`         // to the store
	FailedWrites uint64            `json:"failed_writes"`  // conflicts, too
	Refused      map[string]uint64 `json:"refused"`        // calls, by code
	Store        coordstore.State  `json:"store"`          // of the engine
	Unheard      []string          `json:"unheard"`        // buckets whose changes cannot be heard
	MapVersion   string            `json:"map_version"`    // empty: no map
	MapError     string            `json:"map_error"`      // why the map from outside is not taken
	BadRecords   int               `json:"bad_records"`    // of the store, that cannot be read
	Unclaimed    int               `json:"unclaimed"`      // reports of who is no member
	HardRevision uint64            `json:"hard_revision"`  // up to which all is known
}

// Snapshot does not wait.
func (s *Service) Snapshot() Snapshot {
	t, m := s.state.Totals(), s.state.Map()
	snap := Snapshot{
		Name: s.cfg.Name, Started: s.started, Draining: s.draining.Load(), Coordinators: s.state.Coordinators(),
		Tailnets: t.Tailnets, Members: t.Members, Relays: t.Relays, Streams: s.streams.count(), MemberStream: t.Streams,
		Changes: t.Changes, Sent: s.counts.batches.Load(), Snapshots: t.Snapshots, Resumes: t.Resumes,
		Joins: s.counts.joins.Load(), Logins: s.counts.logins.Load(),
		Writes: s.counts.writes.Load(), FailedWrites: s.counts.failed.Load(), Refused: s.counts.refusals(),
		Store: s.store.State(), Unheard: s.state.Unheard(), MapVersion: m.Version, MapError: s.maps.problem(),
		BadRecords: t.BadRecords, Unclaimed: t.Orphans, HardRevision: t.HardRevision,
	}
	err := s.Ready()
	if snap.Ready = err == nil; err != nil {
		snap.Reason = err.Error()
	}
	return snap
}
