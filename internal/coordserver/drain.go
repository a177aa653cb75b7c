package coordserver

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/notify"
)

// How much longer than asked for draining may take: those who have not gone by then are
// cut off. Where the next process waits for the state directory, all others do, too.
const (
	drainTimeout = 5 * time.Second
	atOnce       = 500 * time.Millisecond
)

// Drain tells all members to use another coordinator, spread over the time that the
// settings give, and returns when none is left or ctx is done. Who calls it again waits
// for the first.
func (s *Server) Drain(ctx context.Context) {
	s.drained.Do(func() { s.drain(ctx) })
}

func (s *Server) drain(ctx context.Context) {
	if s.life.Enter(front.Draining) != front.Serving {
		return
	}
	over := s.spread()
	if s.isTaken() {
		s.listener.Listener.Close() // whoever comes from now on is the other's
	} else {
		s.notify(notify.Stopping)
	}
	e := s.opened()
	if e == nil {
		return
	}
	s.log.Info("stopping", "drain", over.String(), "conns", s.listener.conns.Load())
	most := over + drainTimeout
	if over == 0 {
		most = atOnce
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	e.service.Drain(ctx, over)
}

// spread is the time over which members leave. There is none where nobody else could
// take them: the next process waits for the state directory, and there is no other
// coordinator.
func (s *Server) spread() time.Duration {
	if s.config.exclusive() && (s.isTaken() || len(s.config.Cluster) == 0) || s.config.InMemory {
		return 0
	}
	return time.Duration(s.config.Front.Drain)
}

func (s *Server) isTaken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// errStopped is why all ends where somebody has asked for it.
var errStopped = errors.New("the coordinator was stopped")

// Stop ends all connections, closes the sockets and the engine. It may be called in any
// phase, and more than once.
func (s *Server) Stop() error {
	s.stopped.Do(func() { s.stopError = s.stop() })
	return s.stopError
}

func (s *Server) stop() error {
	s.life.Enter(front.Stopped)
	s.endBeside(errStopped)
	errs := []error{s.status.Close(), s.metrics.Close(), s.commands.Close(), s.closeServer(), s.opened().close()}
	return errors.Join(errs...)
}

// closeServer lets requests under way end, and then no more; and handshakes if the next
// process has taken over: who came to this one is answered by nobody else.
func (s *Server) closeServer() error {
	if s.server == nil {
		return nil
	}
	if shaking := s.shaking.Load(); shaking != nil && s.isTaken() {
		ctx, cancel := context.WithTimeout(context.Background(), shakeTime)
		defer cancel()
		shaking.Finish(ctx)
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.server.Close()
	}
	return errors.Join(ignoreClosed(err), ignoreClosed(s.listener.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
