package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync"

	"github.com/detour-relay/detour/internal/certs"
)

// sources is a certs.Source that can give way to another while the relay runs, and to
// none: its settings are live.
type sources struct {
	mu      sync.Mutex
	current certs.Source  // guarded by mu; nil: there was none yet
	off     bool          // guarded by mu: current is for handshakes that have begun
	changed chan struct{} // guarded by mu: closed when another is current
}

// newSources begins with one; nil: without.
func newSources(first certs.Source) *sources {
	return &sources{current: first, off: first == nil, changed: make(chan struct{})}
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
	if s.off = next == nil; !s.off {
		s.current = next
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

var errNoTLS = errors.New("the relay has no TLS")

func (s *sources) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	current := s.current
	s.mu.Unlock()
	if current == nil {
		return nil, errNoTLS
	}
	return current.Certificate(hello)
}

// Trust is nothing without TLS, as are all.
func (s *sources) Trust() (pin string, roots *x509.CertPool) {
	if current := s.get(); current != nil {
		return current.Trust()
	}
	return "", nil
}

func (s *sources) Describe() (d certs.Description) {
	if current := s.get(); current != nil {
		return current.Describe()
	}
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
