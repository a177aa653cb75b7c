package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/detour-relay/detour/internal/certs"
)

// sources is a certs.Source that can give way to another while the relay runs, and to
// none: its settings are live.
type sources struct {
	mu      sync.Mutex
	current certs.Source  // guarded by mu; nil: there was none yet
	off     bool          // guarded by mu: current is for handshakes that have begun
	changed chan struct{} // guarded by mu: closed when another is current

	// before is what is shown until current has something to show; nil: nothing.
	before  certs.Source                 // guarded by mu
	inUse   atomic.Pointer[certs.Source] // current, for those who must not wait; nil: there is no TLS
	covered atomic.Bool                  // there is before
}

// newSources begins with one; nil: without.
func newSources(first certs.Source) *sources {
	s := &sources{current: first, off: first == nil, changed: make(chan struct{})}
	if first != nil {
		s.inUse.Store(&first)
	}
	return s
}

// missing says why there is no certificate yet; empty: there is, or there is no TLS. It
// takes no lock while there is.
func (s *sources) missing() string {
	current := s.inUse.Load()
	if current == nil || s.covered.Load() {
		return ""
	}
	return missingOf(*current)
}

func missingOf(source certs.Source) string {
	if waits, ok := source.(interface{ Missing() string }); ok {
		return waits.Missing()
	}
	return ""
}

// shown returns the source whose pairs peers see; nil: there was none yet.
func (s *sources) shown() certs.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shownLocked()
}

func (s *sources) shownLocked() certs.Source {
	if s.before == nil {
		return s.current
	}
	if missingOf(s.current) != "" {
		return s.before
	}
	s.before = nil
	s.covered.Store(false)
	return s.current
}

// get returns the source that is in use; nil: there is no TLS.
func (s *sources) get() certs.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.off {
		return nil
	}
	return s.current
}

// replace makes another source the current one; nil: there is none any more.
func (s *sources) replace(next certs.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.shownLocked()
	if s.off {
		before = nil
	}
	if s.off = next == nil; s.off {
		s.inUse.Store(nil)
	} else {
		s.current, s.before = next, nil
		if missingOf(next) != "" {
			s.before = before
		}
		s.covered.Store(s.before != nil)
		s.inUse.Store(&next)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

var (
	errNoTLS    = errors.New("the relay has no TLS")
	errNotAsked = errors.New("an authority asks, and nobody has asked it for a certificate")
)

func (s *sources) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if slices.Contains(hello.SupportedProtos, certs.ChallengeProto) {
		current := s.get()
		if current == nil || !slices.Contains(current.Describe().NextProtos, certs.ChallengeProto) {
			return nil, errNotAsked
		}
		return current.Certificate(hello)
	}
	shown := s.shown()
	if shown == nil {
		return nil, errNoTLS
	}
	return shown.Certificate(hello)
}

// Trust is nothing without TLS, as are all.
func (s *sources) Trust() (pin string, roots *x509.CertPool) {
	if s.get() != nil {
		return s.shown().Trust()
	}
	return "", nil
}

// Describe has the protocol of authorities in any case: the listener is made once, and
// the next source may need it.
func (s *sources) Describe() (d certs.Description) {
	if current := s.get(); current != nil {
		d = current.Describe()
	}
	d.NextProtos = []string{certs.ChallengeProto}
	return d
}

func (s *sources) Prepare(ctx context.Context) (use func(), err error) {
	if current := s.get(); current != nil {
		return current.Prepare(ctx)
	}
	return func() {}, nil
}

// Run runs the current source, one after the other.
func (s *sources) Run(ctx context.Context) {
	for ctx.Err() == nil {
		s.runOne(ctx)
	}
}

func (s *sources) runOne(ctx context.Context) {
	s.mu.Lock()
	current, changed := s.current, s.changed
	if s.off {
		current = nil
	}
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	})
	if current != nil {
		current.Run(ctx)
	}
	<-ctx.Done() // a source that has nothing to do ends early
}
