package admit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/coordsource"
	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/text"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// A coordination server is asked like any source, and besides tells whom it has removed.
// What it told is as good as a no; while it cannot be heard, the questions of every ten
// minutes find out.

const (
	mostTokenFile = 64 << 10

	// mostMissed is how many of those are asked about at once whom a server may have
	// removed unheard; the others follow every ten seconds.
	mostMissed = 5000
)

// heard is what became of listening to a server.
type heard struct {
	yes    bool      // it is heard now
	since  time.Time // that changed
	err    error     // why it is not
	told   time.Time // when that was logged last; zero: not since it was heard
	gone   uint64    // keys of which it said that they are
	missed time.Time // when it could not tell who has gone before
}

// Heard is how a coordination server is heard. Its JSON names are stable.
type Heard struct {
	Now   bool       `json:"now"`
	Since *time.Time `json:"since"` // that is so; null: since the start
	Error string     `json:"error"` // why it is not
	Gone  uint64     `json:"gone"`  // keys of which it has said that they may not come in any more
}

func (h *heard) state() *Heard {
	state := &Heard{Now: h.yes, Gone: h.gone}
	if !h.since.IsZero() {
		at := h.since.UTC()
		state.Since = &at
	}
	if h.err != nil {
		state.Error = h.err.Error()
	}
	return state
}

// openServer makes the source of a coordination server.
func openServer(a config.Access) (*source, error) {
	token, err := readToken(a.CoordinatorToken)
	if err != nil {
		return nil, &config.Error{Setting: "access.coordinator-token", Err: err, Failed: true}
	}
	server, err := coordsource.New(coordsource.Config{Coordinators: a.Coordinator, Token: token})
	if err != nil {
		return nil, &config.Error{Setting: "access.coordinator", Err: err}
	}
	as := sha256.Sum256([]byte(token)) // another token may be for other tailnets
	given := strings.Join(a.Coordinator, ",") + string(as[:])
	s := newSource(SourceCoordinator, given, server.Target(), server)
	s.server = server
	return s, nil
}

// readToken returns the only line of a file; an empty path is no token.
func readToken(path string) (token string, err error) {
	if path == "" {
		return "", nil
	}
	data, err := smallfile.Read(path, mostTokenFile)
	if err != nil {
		return "", err
	}
	if data, err = text.DecodeASCII(data); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	lines := text.Lines(data)
	if len(lines) != 1 {
		return "", fmt.Errorf("%s: it has %d lines that could be the token: leave the one that the coordination server has printed", path, len(lines))
	}
	return lines[0], nil
}

// server is the source that tells by itself; nil: none does.
func (r *rules) server() *source {
	for _, s := range r.sources {
		if s.server != nil {
			return s
		}
	}
	return nil
}

// listen hears the coordination server that the rules name, until ctx is done.
func (c *Chain) listen(ctx context.Context) {
	cursor, of := "", uint64(0)
	for ctx.Err() == nil {
		s := c.rules.Load().server()
		if s == nil {
			retry.Rest(ctx, lookAt, nil)
			continue
		}
		if s.id != of {
			cursor, of = "", s.id
		}
		within, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for c.rules.Load().server() == s && retry.Rest(within, lookAt, nil) {
			}
			cancel()
		}()
		cursor = s.server.Watch(within, cursor, coordsource.Events{
			Gone:   func(k key.Public) { s.countGone(); c.noteGone(s, k) },
			Missed: func() { c.noteMissed(s, time.Now()) },
			Heard:  func(err error) { c.noteHeard(s, err, time.Now()) },
		})
		cancel()
		<-ended
	}
}

func (s *source) countGone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard.gone++
}

// noteGone is for a key that a server does not vouch for any more, if it was the one
// that has. If others may, they are asked before the key is cut off.
func (c *Chain) noteGone(s *source, k key.Public) {
	r, now := c.rules.Load(), time.Now()
	seen, known := c.memory.of(k)
	if !known || seen.by != s.id {
		return
	}
	c.revoking.blame(k, s.kind)
	if len(r.sources) > 1 {
		c.revoking.spare(k, true)
	}
	c.memory.forget(k, now)
	if len(r.sources) > 1 {
		c.askAbout(r, &relay.PeerState{Peer: k}, confirmation{}, now)
		return
	}
	c.revoking.sweep(s.kind)
}

// noteMissed has all asked about whom the server has vouched for before.
func (c *Chain) noteMissed(s *source, now time.Time) {
	s.mu.Lock()
	s.heard.missed = now
	s.mu.Unlock()
	c.askConnected(c.rules.Load(), now)
}

// missed reports whether a key is to be asked about because its server may have said
// unheard that it has gone.
func (r *rules) missed(seen confirmation, now time.Time) bool {
	s := r.server()
	if s == nil || s.id != seen.by {
		return false
	}
	s.mu.Lock()
	at := s.heard.missed
	s.mu.Unlock()
	return seen.at.Before(at) && (seen.asked.Before(at) || now.Sub(seen.asked) >= askSoonest)
}

// noteHeard keeps whether the server is heard, and logs what changes.
func (c *Chain) noteHeard(s *source, err error, now time.Time) {
	s.mu.Lock()
	h := &s.heard
	back := err == nil && !h.told.IsZero()
	lost := err != nil && (h.told.IsZero() || now.Sub(h.told) >= sparsely && h.err.Error() != err.Error())
	if h.yes != (err == nil) {
		h.since = now
	}
	h.yes, h.err = err == nil, err
	if back {
		h.told = time.Time{}
	} else if lost {
		h.told = now
	}
	s.mu.Unlock()
	switch {
	case lost:
		c.log.Warn("a coordination server is not heard: who is removed there stays until asked about again, up to ten minutes", "target", s.target, "reason", err)
	case back:
		c.log.Info("a coordination server is heard again", "target", s.target)
	}
	if err == nil {
		c.tell(s, s.noteCheck(nil, now), nil)
	}
}

// ErrToken is that of CheckServer if the server does not take the token.
var ErrToken = coordsource.ErrToken

// HasServer reports whether a coordination server is asked.
func (c *Chain) HasServer() bool { return c.rules.Load().server() != nil }

// CheckServer asks the coordination server, which has to be there, whether it would
// answer.
func (c *Chain) CheckServer(ctx context.Context) error { return c.rules.Load().server().Check(ctx) }
