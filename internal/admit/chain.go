package admit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// What decides, besides the sources.
const (
	SourceBan      = "ban"
	SourceApp      = "app"
	SourceKeys     = "keys"
	SourceManaged  = "managed"
	SourceEveryone = "everyone"
	SourceGrace    = "grace" // the memory of what a source has said
	SourceOpen     = "open"  // nobody: everybody comes in while a URL cannot be reached
	SourceNone     = "none"
)

const (
	// lately is how long a confirmation is good for coming in at once. The source is
	// asked again meanwhile.
	lately = 5 * time.Minute

	// patience is how long a known key waits for the answer.
	patience = time.Second
)

// A Chain decides who may come into one relay. Its methods may be called by any
// goroutine.
type Chain struct {
	log    *slog.Logger
	peers  Peers
	exempt func(key.Public) bool

	rules     atomic.Pointer[rules] // replaced by who holds changing
	memory    *memory
	questions *questions
	counts    counts
	refusals  refusals
	revoking  revoking

	changing sync.Mutex // held by who changes the rules
	shelf    *shelf     // guarded by changing
	watched  []*watched // guarded by changing: the files of the rules
	troubles troubles
}

// New opens what the configuration names. An error is a [*config.Error], or one of the
// state directory.
func New(cfg Config) (*Chain, error) {
	c := &Chain{log: cfg.Logger, peers: cfg.Peers, exempt: cfg.Exempt, shelf: newShelf(cfg.StateDir), revoking: newRevoking()}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.peers == nil {
		c.peers = nobody{}
	}
	if c.exempt == nil {
		c.exempt = func(key.Public) bool { return false }
	}
	r, err := open(cfg.Access, nil, c.log)
	if err != nil {
		return nil, err
	}
	if r.book, err = c.shelf.load(); err != nil {
		closeSources(r.sources)
		return nil, err
	}
	if c.memory, err = newMemory(cfg.StateDir, time.Now()); err != nil {
		c.log.Warn("who was known before the restart is forgotten", "reason", err)
	}
	c.questions = newQuestions(c.noteAnswer, c.noteVerdict)
	c.install(r)
	return c, nil
}

// install has other rules decide from now on.
func (c *Chain) install(r *rules) {
	c.rules.Store(r)
	c.watched = nil
	for _, f := range r.files {
		c.watched = append(c.watched, &watched{path: f.path, read: f.read, seen: f.read})
	}
}

// A decision is what becomes of an applicant.
type decision struct {
	source    string
	admission relay.Admission
	refused   *Refusal // nil: admitted
}

// A Refusal says why a key may not come in.
type Refusal struct {
	Source string // which part of the chain says so
	Reason Reason
	Detail string // for people
}

// A Reason is why somebody is refused.
type Reason string

// The reasons.
const (
	Banned     Reason = "banned"
	DeniedApp  Reason = "app"
	Unknown    Reason = "unknown"    // nothing lets it in
	Ended      Reason = "ended"      // its entry has ended
	Denied     Reason = "denied"     // a source says no
	Unanswered Reason = "unanswered" // no source can answer
	Busy       Reason = "busy"       // too many strangers wait for an answer
)

// Reasons are all there are.
var Reasons = []Reason{Banned, DeniedApp, Unknown, Ended, Denied, Unanswered, Busy}

func (r *Refusal) Error() string { return r.Detail }

func admitted(source string) decision { return decision{source: source} }

func refuse(source string, reason Reason, format string, args ...any) decision {
	return decision{source: source, refused: &Refusal{source, reason, fmt.Sprintf(format, args...)}}
}

// Admit decides about a peer that has proven its key. It is relay.Config.Admit. The
// error is a [*Refusal].
func (c *Chain) Admit(ctx context.Context, a relay.Applicant) (relay.Admission, error) {
	if c.exempt(a.Peer) {
		return relay.Admission{}, nil
	}
	d := c.decide(ctx, a)
	if d.refused != nil && d.refused.Reason == Unanswered && errors.Is(context.Cause(ctx), context.Canceled) {
		return relay.Admission{}, d.refused // the peer has left: nobody is refused
	}
	c.counts.decided(d)
	if d.refused != nil {
		c.refusals.log(c.log, a, d.refused, time.Now())
		return relay.Admission{}, d.refused
	}
	return d.admission, nil
}

func (c *Chain) decide(ctx context.Context, a relay.Applicant) decision {
	r := c.rules.Load()
	d, settled := r.decide(a.Peer, a.Info.AppName, time.Now())
	if settled || len(r.sources) == 0 {
		return d
	}
	d = c.askFor(ctx, r, a)
	if d.refused == nil { // who waits may be banned meanwhile
		if now, settled := c.rules.Load().decide(a.Peer, a.Info.AppName, time.Now()); settled {
			return now
		}
	}
	return d
}

// decide says what the relay knows itself. What is not settled is refused, but for a
// source that says yes.
func (r *rules) decide(k key.Public, app string, now time.Time) (d decision, settled bool) {
	if ban, banned := r.book.bans[k]; banned && !ban.ended(now) {
		return refuse(SourceBan, Banned, "the key is banned%s", banText(ban)), true
	}
	if r.deny[app] {
		return refuse(SourceApp, DeniedApp, "the application %q is denied", app), true
	}
	e, source, found := r.find(k, now)
	if found && !e.ended(now) {
		return decision{source: source, admission: relay.Admission{Group: e.Label, Until: e.Until}}, true
	}
	if r.everyone {
		return admitted(SourceEveryone), true
	}
	if found {
		return refuse(source, Ended, "its entry in %s has ended", e.From), false
	}
	return refuse(SourceNone, Unknown, "the key is in no list"), false
}

func banText(b Ban) string {
	var text strings.Builder
	if !b.Until.IsZero() {
		text.WriteString(" until " + b.Until.UTC().Format(time.RFC3339))
	}
	if b.Why != "" {
		text.WriteString(": " + b.Why)
	}
	return text.String()
}

// find returns an entry that lets the key in now; else one that has ended. The files
// come first.
func (r *rules) find(k key.Public, now time.Time) (found Entry, source string, ok bool) {
	for _, f := range r.files {
		l, here := f.set.find(k)
		if here && !ok {
			found, source, ok = f.set.entry(l, f.path), SourceKeys, true
		} else if here && found.ended(now) {
			found = f.set.entry(l, f.path)
		}
	}
	if ok && !found.ended(now) {
		return found, source, true
	}
	if e, here := r.book.find(k, now); here && (!ok || !e.ended(now)) {
		return e, SourceManaged, true
	}
	return found, source, ok
}

// confirmed reports whether a source has confirmed the key within the time of grace.
func (c *Chain) confirmed(r *rules, k key.Public, now time.Time) (confirmation, bool) {
	seen, ok := c.memory.of(k)
	return seen, ok && now.Sub(seen.at) <= r.grace
}

// askFor asks the sources.
func (c *Chain) askFor(ctx context.Context, r *rules, a relay.Applicant) decision {
	now := time.Now()
	seen, known := c.confirmed(r, a.Peer, now)
	q := c.questions.ask(&question{
		key: a.Peer, from: a.Addr.Addr(), known: known, by: seen.by, sources: r.sources, timeout: r.timeout,
	})
	if known {
		c.memory.asking(a.Peer, now)
	}
	if q == nil {
		return c.without(known, "too many strangers wait for an answer")
	}
	defer c.questions.leave(q)
	if known && now.Sub(seen.at) <= lately {
		return admitted(r.kindOf(seen.by))
	}
	if known && r.allAway() { // whoever comes back with a no is heard a moment later
		return admitted(SourceGrace)
	}
	if known {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	select {
	case <-q.done:
	case <-ctx.Done():
		return c.unanswered(known, context.Cause(ctx))
	}
	switch q.verdict.answer {
	case yes:
		return admitted(q.verdict.by.kind)
	case no:
		return refuse(q.verdict.by.kind, Denied, "%s %s says no", q.verdict.by.kind, q.verdict.by.target)
	}
	if !known && q.verdict.open && r.access.FailOpen {
		return c.letIn(a.Peer)
	}
	return c.unanswered(known, q.verdict.why)
}

func (c *Chain) without(known bool, why string) decision {
	if known {
		return admitted(SourceGrace)
	}
	return refuse(SourceNone, Busy, "%s", why)
}

func (c *Chain) unanswered(known bool, why error) decision {
	if known {
		return admitted(SourceGrace)
	}
	return refuse(SourceNone, Unanswered, "nobody who is asked can answer: %v", why)
}

// kindOf is the kind of the source that has confirmed a key.
func (r *rules) kindOf(id uint64) string {
	for _, s := range r.sources {
		if s.id == id {
			return s.kind
		}
	}
	return SourceGrace
}

// allAway reports whether no source has answered the last time it was asked.
func (r *rules) allAway() bool {
	for _, s := range r.sources {
		if s.reason() == nil {
			return false
		}
	}
	return true
}

// noteAnswer keeps what a source has said.
func (c *Chain) noteAnswer(s *source, allow bool, err error) {
	c.tell(s, s.note(allow, err, time.Now()), err)
}

// tell logs that a source has gone away, or has come back.
func (c *Chain) tell(s *source, tell bool, err error) {
	switch {
	case !tell:
	case c.rules.Load().access.FailOpen && s.isUnreachable(err):
		c.log.Warn("a source of access cannot be reached: everybody comes in until it can", "source", s.kind, "target", s.target, "reason", err)
	case err != nil:
		c.log.Warn("a source of access cannot answer: who is known stays, nobody new comes in by it", "source", s.kind, "target", s.target, "reason", err)
	default:
		c.log.Info("a source of access answers again", "source", s.kind, "target", s.target)
	}
}

// noteVerdict keeps what the sources say together, before those who wait hear of it.
func (c *Chain) noteVerdict(q *question) {
	switch q.verdict.answer {
	case yes:
		c.memory.confirm(q.key, q.verdict.by.id, time.Now())
		c.revoking.spare(q.key, false)
		if by := q.verdict.by; by.server != nil && by.server.Gone(q.key) { // while it was asked
			c.noteGone(by, q.key)
		}
	case no:
		if _, known := c.memory.of(q.key); known || c.revoking.isSpared(q.key) {
			c.revoking.blame(q.key, q.verdict.by.kind) // first, for who looks in between
			c.memory.forget(q.key, time.Now())
			c.revoking.spare(q.key, false)
			c.revoking.sweep(q.verdict.by.kind)
		}
	case unanswered:
		if q.verdict.open && c.rules.Load().access.FailOpen {
			break // who was let in stays until somebody answers
		}
		if c.revoking.spare(q.key, false) {
			c.revoking.sweep(SourceNone)
		}
	}
}
