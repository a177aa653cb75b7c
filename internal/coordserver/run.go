package coordserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/notify"
	"github.com/detour-relay/detour/internal/trim"
)

const (
	// readyTime bounds the wait until the state is loaded, before people are told that the
	// coordinator is there, and before the process before goes. One that waits for the
	// others of its cluster goes on without.
	readyTime = 30 * time.Second
	readyLook = 10 * time.Millisecond

	// gatherTime is how long one waits that needs others: they may come much later.
	gatherTime = 2 * time.Second

	// stopTime bounds the end of requests that are under way.
	stopTime = 5 * time.Second

	// shakeTime bounds that of handshakes: who says nothing is not waited for.
	shakeTime = 2 * time.Second
)

// few is below what a coordinator for others should have: each member takes one.
const few = 4096

// Run serves until ctx is done or another process has taken over, then drains and
// stops. Once members are answered it calls started, which may be nil; its error ends
// all. After a takeover, ctx cuts the draining short. It may be called once.
func (s *Server) Run(ctx context.Context, started func() error) error {
	if before := s.life.Enter(front.Serving); before != front.Opened {
		return fmt.Errorf("coordserver: the coordinator is %s and cannot run again", before)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.beside, cancel)()
	err := s.start(ctx)
	if err == nil && started != nil {
		err = started()
	}
	if err == nil {
		err = s.serveUntil(ctx)
	}
	err = errors.Join(err, s.Stop())
	s.running.Wait()
	err = errors.Join(err, s.opened().close()) // of one that was just being opened
	s.log.Info("coordinator stopped")
	return err
}

// start begins everything there is.
func (s *Server) start(ctx context.Context) error {
	s.running.Go(s.status.Serve)
	s.running.Go(s.metrics.Serve)
	if s.options.Service { // otherwise the memory is not ours alone
		s.running.Go(func() { (&trim.Trimmer{Conns: s.size, Packets: s.work, Later: engineKeeps}).Run(s.beside) })
		s.running.Go(func() { trim.Pace(s.beside, trim.CoordinatorRoom) })
	}
	if s.opened() != nil {
		return s.startWhole(ctx)
	}
	if s.options.Takeover.TakesOver() { // the process before has the state directory until it is told
		s.tellOthers()
		if len(s.config.Cluster) == 0 {
			if err := s.openEngine(ctx); err != nil {
				return ended(ctx, err)
			}
			return s.startWhole(ctx)
		}
	}
	return s.startGathering(ctx)
}

// startWhole serves with an engine that is open, once the state is loaded: who comes
// meanwhile waits in the kernel's queue, or is answered by the process before.
func (s *Server) startWhole(ctx context.Context) error {
	s.awaitReady(ctx, readyTime)
	s.serveAll()
	s.tellOthers()
	return nil
}

// startGathering serves while the engine waits for the others of the cluster.
func (s *Server) startGathering(ctx context.Context) error {
	s.serveAll()
	s.running.Go(func() {
		if err := s.openEngine(s.beside); err != nil && s.beside.Err() == nil {
			s.endBeside(err)
			return
		}
		s.startFeed()
		s.awaitReady(s.beside, time.Hour)
		if s.beside.Err() == nil && s.whyNotLoaded() == nil {
			s.log.Info("the others of the cluster are there: the coordinator is ready")
		}
	})
	s.awaitReady(ctx, gatherTime)
	s.tellOthers()
	return nil
}

// ended is no error where nobody wants to go on.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// serveAll answers members and commands.
func (s *Server) serveAll() {
	var listener net.Listener = s.listener
	if s.secure != nil {
		known := s.useTickets()
		s.running.Go(func() { s.keepTickets(known) })
		shaking := newHandshakes(listener, s.secure, handshakeTurns)
		s.shaking.Store(shaking)
		listener = shaking
		s.running.Go(func() { s.source.Run(s.beside) }) // an authority may want an answer at once
	}
	s.running.Go(func() {
		err := s.server.Serve(listener)
		if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.endBeside(fmt.Errorf("%s: %w", s.listener.Addr(), err))
		}
	})
	s.commands.Serve(&s.running)
	s.startFeed()
	s.logStart()
}

func (s *Server) logStart() {
	socket, https := s.commands.Addrs()
	s.log.Info("coordinator started", "listen", s.listener.Addr().String(), "tls", s.config.Front.TLS.Mode, "admin_socket", socket, "admin_https", https, "pid", os.Getpid())
	if limit := front.DescriptorLimit(); limit > 0 && limit < few && !s.config.Front.Dev {
		s.log.Warn("this process may open few files and sockets, and each member takes one", "limit", limit,
			"remedy", "set LimitNOFILE= in the systemd unit, or raise it with ulimit -n before the start")
	}
}

// awaitReady waits until the state is loaded.
func (s *Server) awaitReady(ctx context.Context, most time.Duration) {
	tick := time.NewTicker(readyLook)
	defer tick.Stop()
	for end := time.Now().Add(most); time.Now().Before(end) && s.whyNotLoaded() != nil; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// tellOthers says that this process serves, once: to the service manager, and to the
// process before.
func (s *Server) tellOthers() {
	if s.told.Swap(true) {
		return
	}
	s.commands.Publish() // before the old process goes
	if s.options.Takeover.TakesOver() {
		s.notify(notify.Takeover) // before the old process can end, which is the main one until then
	} else {
		s.notify(notify.Ready)
	}
	if err := s.options.Takeover.Ready(); err != nil {
		s.log.Warn("the process before cannot be told that this one is ready", "reason", err)
	}
}

// serveUntil returns when ctx is done or another process has taken over, and nobody is
// left. The error says why all ends, if nobody has asked for it.
func (s *Server) serveUntil(ctx context.Context) error {
	if s.options.Takeover.Watch(ctx, s.mayTakeOver, s.log) {
		s.mu.Lock()
		s.taken = true
		s.mu.Unlock()
		s.status.Close() // they are the other process's now; errors do not matter any more
		s.metrics.Close()
		s.commands.Close()
		s.log.Info("another process has taken over")
		s.Drain(ctx)
		return nil
	}
	if cause := context.Cause(s.beside); cause != nil {
		if errors.Is(cause, errStopped) {
			return nil
		}
		return cause
	}
	s.Drain(context.WithoutCancel(ctx))
	return nil
}

var errForgotten = errors.New("the state is in the memory of this process, and would be lost: stop it, or give it a state directory")

// mayTakeOver says why the next process must not be started.
func (s *Server) mayTakeOver() (undo func(), err error) {
	if s.config.InMemory {
		return nil, errForgotten
	}
	return func() {}, nil
}

// notify tells the service manager if this coordinator is the process.
func (s *Server) notify(tell func(*slog.Logger)) {
	if s.options.Service {
		tell(s.log)
	}
}

// membersOfConn is how many members need as much memory as a connection does: about 20
// KB are 500 bytes of the state and of the engine's index for each.
const membersOfConn = 40

// engineKeeps is a little more than the two minutes for which an embedded engine keeps the
// index of what has been read: 190 MB after the loading of a million members.
const engineKeeps = 150 * time.Second

// size is how much memory is needed, in connections.
func (s *Server) size() int {
	size := int(s.listener.conns.Load())
	if e := s.opened(); e != nil {
		size += e.service.Snapshot().Members / membersOfConn
	}
	return size
}

// work is how much has been written and told.
func (s *Server) work() uint64 {
	e := s.opened()
	if e == nil {
		return 0
	}
	snap := e.service.Snapshot()
	return snap.Sent + snap.Writes
}
