package coordsource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/internal/vouch"
	"github.com/detour-relay/detour/key"
)

const (
	// goneTime is how long a yes does not count for a key that has gone.
	goneTime = 3 * time.Second
	// mostGone bounds the keys that are remembered for that.
	mostGone = 4096
)

// ErrToken is beneath what a server answers that does not take the token.
var ErrToken = errors.New("it wants a token of this relay")

// Config says whom to ask.
type Config struct {
	// Coordinators are the replicas, in the order to try them, each as
	// https://host[:port], perhaps with =sha256-raw: and the pin of its certificate;
	// http:// on this machine.
	Coordinators []string

	// Token is the relay's, a secret; empty: none.
	Token string

	// DialContext makes the connections on which the server is heard; nil: net.Dialer.
	DialContext reach.DialFunc
}

// Source is a coordination server.
type Source struct {
	replicas []*replica   // set once
	target   string       // set once
	first    atomic.Int64 // the replica to ask first: that which answered last

	mu   sync.Mutex
	gone map[key.Public]time.Time // guarded by mu: when, within goneTime
}

// New checks the Config. It asks nobody.
func New(cfg Config) (*Source, error) {
	if len(cfg.Coordinators) == 0 {
		return nil, errors.New("no coordinator is named")
	}
	if err := checkToken(cfg.Token); err != nil {
		return nil, err
	}
	s := &Source{gone: make(map[key.Public]time.Time)}
	var names []string
	for _, given := range cfg.Coordinators {
		r, err := newReplica(given, cfg)
		if err != nil {
			return nil, err
		}
		s.replicas, names = append(s.replicas, r), append(names, r.base)
	}
	s.target = strings.Join(names, ", ")
	return s, nil
}

// Target is the URLs, for people.
func (s *Source) Target() string { return s.target }

// Close drops the connections that nobody uses.
func (s *Source) Close() {
	for _, r := range s.replicas {
		r.close()
	}
}

// Ask asks whether a key may come in: the replica that answered last, and then the
// others, each with its share of the time that ctx leaves.
func (s *Source) Ask(ctx context.Context, k key.Public, from netip.Addr) (allow bool, err error) {
	if s.Gone(k) {
		return false, nil
	}
	first := int(s.first.Load())
	var failed error
	for i := range s.replicas {
		n := (first + i) % len(s.replicas)
		r := s.replicas[n]
		allow, err = r.ask(ctx, k, from, len(s.replicas)-i)
		if err == nil {
			s.first.Store(int64(n))
			return allow && !s.Gone(k), nil // it may have gone meanwhile
		}
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if failed == nil {
			failed = s.naming(r, err)
		}
	}
	return false, failed
}

// ask gives the replica one of so many equal shares of the time that is left.
func (r *replica) ask(ctx context.Context, k key.Public, from netip.Addr, shares int) (bool, error) {
	if end, ok := ctx.Deadline(); ok && shares > 1 {
		within, cancel := context.WithTimeoutCause(ctx, time.Until(end)/time.Duration(shares), vouch.ErrSlow)
		defer cancel()
		ctx = within
	}
	allow, err := r.verify.Ask(ctx, k, from)
	return allow, r.explain(err)
}

// explain says of a status what it means here.
func (r *replica) explain(err error) error {
	failed, ok := errors.AsType[*vouch.StatusError](err)
	if !ok {
		return err
	}
	return r.statusError(failed.Status, err)
}

func (r *replica) statusError(status int, otherwise error) error {
	switch {
	case (status == http.StatusUnauthorized || status == http.StatusForbidden) && r.token == "":
		return fmt.Errorf("%w, and none was given (status %d): make one there", ErrToken, status)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("%w, and the one that was given counts no more or is another's (status %d): make another there", ErrToken, status)
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return fmt.Errorf("status %d: is it a coordination server?", status)
	}
	return otherwise
}

// naming says which of several replicas an error is of.
func (s *Source) naming(r *replica, err error) error {
	if err == nil || len(s.replicas) == 1 {
		return err
	}
	return fmt.Errorf("%s: %w", r.addr(), err)
}

// Gone reports whether the server has just said that a key may not come in any more.
func (s *Source) Gone(k key.Public) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.gone[k]
	return ok && time.Since(at) < goneTime
}

func (s *Source) noteGone(k key.Public) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.gone) >= mostGone {
		for old, at := range s.gone {
			if now.Sub(at) >= goneTime {
				delete(s.gone, old)
			}
		}
	}
	if len(s.gone) >= mostGone { // so many at once: who has gone is asked about all the same
		clear(s.gone)
	}
	s.gone[k] = now
}
