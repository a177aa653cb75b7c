package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"sync"

	"github.com/detour-relay/detour/internal/certs"
)

// sources is a certs.Source that can give way to another while the relay runs: its
// settings are live.
type sources struct {
	mu      sync.Mutex
	current certs.Source  // guarded by mu
	changed chan struct{} // guarded by mu: closed when another is current
}

func newSources(first certs.Source) *sources {
	return &sources{current: first, changed: make(chan struct{})}
}

func (s *sources) get() (current certs.Source, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.changed
}

// replace makes another source the current one.
func (s *sources) replace(next certs.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = next
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *sources) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	current, _ := s.get()
	return current.Certificate(hello)
}

func (s *sources) Trust() (pin string, roots *x509.CertPool) {
	current, _ := s.get()
	return current.Trust()
}

func (s *sources) Describe() certs.Description {
	current, _ := s.get()
	return current.Describe()
}

func (s *sources) Prepare(ctx context.Context) (use func(), err error) {
	current, _ := s.get()
	return current.Prepare(ctx)
}

// Run runs the current source, one after the other.
func (s *sources) Run(ctx context.Context) {
	for ctx.Err() == nil {
		s.runOne(ctx)
	}
}

func (s *sources) runOne(ctx context.Context) {
	current, changed := s.get()
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
	current.Run(ctx)
	<-ctx.Done() // a source that has nothing to do ends early
}
