package admit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/coordsource"
	"github.com/detour-relay/detour/key"
)

// The kinds of source, as they are counted.
const (
	SourceVerify      = "verify"      // a URL
	SourceCoordinator = "coordinator" // a coordination server
	SourceTailscaled  = "tailscaled"  // a daemon of Tailscale on this machine
)

// A responder is asked about one key at a time. It returns an error if it cannot
// answer; that never lets in somebody new.
type responder interface {
	Ask(ctx context.Context, k key.Public, from netip.Addr) (allow bool, err error)

	// Check says what is wrong with the source, without a key to ask about; nil: as far
	// as can be known, nothing.
	Check(ctx context.Context) error

	Close()
}

// A source is a responder with what became of its answers.
type source struct {
	kind   string // SourceVerify or one of the others
	target string // for people, without secrets
	id     uint64
	responder

	mu       sync.Mutex
	yes, no  uint64    // guarded by mu
	failed   uint64    // guarded by mu
	away     error     // guarded by mu: why it could not answer last; nil: it did
	since    time.Time // guarded by mu: since when it is away
	told     time.Time // guarded by mu: when that was logged last
	answered time.Time // guarded by mu: when it answered last

	server *coordsource.Source // the responder, if that is one; nil: it tells nothing by itself
	heard  heard               // guarded by mu: what that tells
}

func newSource(kind, given, target string, r responder) *source {
	sum := sha256.Sum256([]byte(kind + " " + given))
	return &source{kind: kind, target: target, id: binary.BigEndian.Uint64(sum[:]), responder: r}
}

// note keeps what became of a question. It reports whether the source went away or
// came back by it, and is to be told of.
func (s *source) note(allow bool, err error, now time.Time) (tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed++
		return s.leaveLocked(err, now)
	}
	if allow {
		s.yes++
	} else {
		s.no++
	}
	s.answered = now
	return s.returnLocked()
}

// noteCheck keeps what a check found.
func (s *source) noteCheck(err error, now time.Time) (tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		return s.leaveLocked(err, now)
	}
	return s.returnLocked()
}

func (s *source) leaveLocked(err error, now time.Time) bool {
	if s.away == nil {
		s.since = now
	}
	other := s.away == nil || s.away.Error() != err.Error()
	s.away = err
	if !other || !s.told.IsZero() && now.Sub(s.told) < sparsely {
		return false
	}
	s.told = now
	return true
}

// returnLocked tells only of a return from what was told.
func (s *source) returnLocked() bool {
	back := s.away != nil && !s.told.IsZero() && !s.told.Before(s.since)
	s.away = nil
	return back
}

func (s *source) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away
}

// sparsely is how often the same thing is logged.
const sparsely = time.Minute

// continueFrom takes over what is known of the same source, opened before.
func (s *source) continueFrom(old *source) {
	old.mu.Lock()
	defer old.mu.Unlock()
	s.yes, s.no, s.failed, s.answered = old.yes, old.no, old.failed, old.answered
	s.away, s.since, s.told = old.away, old.since, old.told
	s.heard = old.heard
}
