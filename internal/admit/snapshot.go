package admit

import (
	"time"
)

// A Snapshot is a chain at one moment. Its JSON names are stable.
type Snapshot struct {
	Everyone bool     `json:"everyone"`
	DenyApps []string `json:"deny_apps"`

	Keys    []FileState   `json:"keys"`
	Managed ManagedState  `json:"managed"`
	Sources []SourceState `json:"sources"`

	GraceS float64 `json:"grace_s"`
	Known  int     `json:"known"` // keys that a source has confirmed within the time of grace

	// Questions under way or waiting.
	AskingStrangers int `json:"asking_strangers"`
	AskingKnown     int `json:"asking_known"`

	Decisions map[string]Decisions `json:"decisions"` // by what has decided, see Deciders
	Refused   map[Reason]uint64    `json:"refused"`   // by reason, see Reasons
	Errors    map[string]uint64    `json:"errors"`    // by what failed, see Failers
}

// Failers are what can fail: to be read, written or asked.
var Failers = []string{SourceKeys, SourceManaged, SourceVerify, SourceCoordinator, SourceTailscaled, SourceGrace}

// A FileState is a file of keys.
type FileState struct {
	File   string    `json:"file"`
	Keys   int       `json:"keys"`
	ReadAt time.Time `json:"read_at"`
	Error  string    `json:"error"` // why what it says now does not count
}

// A ManagedState is the relay's own list.
type ManagedState struct {
	File  string `json:"file"` // empty: kept in memory only
	Keys  int    `json:"keys"`
	Bans  int    `json:"bans"`
	Error string `json:"error"`
}

// A SourceState is one that is asked.
type SourceState struct {
	Source   string     `json:"source"` // SourceVerify or one of the others
	Target   string     `json:"target"`
	Away     bool       `json:"away"` // it cannot answer
	Error    string     `json:"error"`
	Since    *time.Time `json:"since"`    // it is away
	Answered *time.Time `json:"answered"` // last
	Yes      uint64     `json:"yes"`
	No       uint64     `json:"no"`
	Failed   uint64     `json:"failed"`
	Heard    *Heard     `json:"heard"` // null: it tells nothing by itself
}

// Snapshot returns the chain now.
func (c *Chain) Snapshot() Snapshot {
	r := c.rules.Load()
	s := Snapshot{
		Everyone: r.everyone, DenyApps: append([]string{}, r.access.DenyApps...), GraceS: r.grace.Seconds(), Known: c.memory.count(),
		Keys: []FileState{}, Sources: []SourceState{},
		Managed: ManagedState{File: c.shelf.path, Keys: r.book.count(), Bans: len(c.Bans()), Error: c.troubles.of(c.shelf.path)},
	}
	for _, f := range r.files {
		s.Keys = append(s.Keys, FileState{f.path, len(f.set.entries), f.loaded.UTC(), c.troubles.of(f.path)})
	}
	s.AskingStrangers, s.AskingKnown = c.questions.counts()
	s.Decisions, s.Refused, s.Errors = c.counts.all()
	for _, source := range r.sources {
		state := source.state()
		s.Sources = append(s.Sources, state)
		s.Errors[state.Source] += state.Failed
	}
	return s
}

// Away says which sources cannot answer and what cannot be read, a line each.
func (s *Snapshot) Away() (lines []string) {
	for _, source := range s.Sources {
		if source.Away {
			lines = append(lines, source.Source+" "+source.Target+" cannot answer: "+source.Error)
		}
		if h := source.Heard; h != nil && h.Error != "" {
			lines = append(lines, source.Source+" "+source.Target+" cannot be heard, so who is removed there stays up to ten minutes: "+h.Error)
		}
	}
	for _, f := range s.Keys {
		if f.Error != "" {
			lines = append(lines, f.Error)
		}
	}
	if s.Managed.Error != "" {
		lines = append(lines, s.Managed.Error)
	}
	return lines
}

// all has each name that there can be.
func (c *counts) all() (by map[string]Decisions, refused map[Reason]uint64, errors map[string]uint64) {
	by, refused, errors = map[string]Decisions{}, map[Reason]uint64{}, map[string]uint64{}
	c.update(func() {
		for _, name := range Deciders {
			by[name] = c.by[name]
		}
		for _, name := range Reasons {
			refused[name] = c.refused[name]
		}
		for _, name := range Failers {
			errors[name] = c.errors[name]
		}
	})
	return by, refused, errors
}

func (s *source) state() SourceState {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := SourceState{Source: s.kind, Target: s.target, Yes: s.yes, No: s.no, Failed: s.failed}
	if !s.answered.IsZero() {
		at := s.answered.UTC()
		state.Answered = &at
	}
	if s.away != nil {
		since := s.since.UTC()
		state.Away, state.Error, state.Since = true, s.away.Error(), &since
	}
	if s.server != nil {
		state.Heard = s.heard.state()
	}
	return state
}
