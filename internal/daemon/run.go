package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/notify"
	"github.com/detour-relay/detour/internal/trim"
)

const (
	// linkTimeout bounds how long a process that takes over waits for its links, so
	// that peers do not come to it before it reaches those of its siblings.
	linkTimeout = 3 * time.Second
	linkLook    = 10 * time.Millisecond

	// stopTimeout bounds the end of a relay that has drained: conns are closed at
	// once, so it is long only if something is stuck.
	stopTimeout = 10 * time.Second
)

// Run serves until ctx is done, an operator has it drain, or another process has taken
// over, then drains and stops. After a takeover, ctx cuts the draining short. Run returns early if
// somebody else stops the relay. It may be called once.
func (d *Daemon) Run(ctx context.Context) error {
	if before := d.life.Enter(front.Serving); before != front.Opened {
		return fmt.Errorf("daemon: the relay is %s and cannot run again", before)
	}
	accepting := d.start()
	if d.serveUntil(ctx) {
		d.log.Info("another process has taken over", "drain", d.Config().Drain.String())
		d.Drain(ctx)
	} else if d.beside.Err() == nil {
		d.Drain(context.WithoutCancel(ctx))
	}
	err := errors.Join(d.Stop(), <-accepting)
	d.twin.Wait()
	d.running.Wait()
	d.log.Info("relay stopped")
	return err
}

// start begins everything there is. The result gets what accepting ends with.
func (d *Daemon) start() <-chan error {
	defer close(d.started)
	d.running.Go(d.serveHTTP) // before an authority is asked for a certificate
	d.running.Go(func() { d.source.Run(d.beside) })
	if d.access != nil {
		d.running.Go(func() { d.access.Run(d.beside) })
	}
	if d.options.Service { // otherwise the memory is not ours alone
		d.running.Go(func() { (&trim.Trimmer{Conns: d.size, Packets: d.packets}).Run(d.beside) })
		d.running.Go(func() { trim.Pace(d.beside, trim.RelayRoom) })
	}
	d.running.Go(func() { d.budget.quota.Run(d.beside) })
	d.running.Go(func() { d.hitters.Run(d.beside, d.users) })
	d.running.Go(func() { d.history.Run(d.beside) })
	d.running.Go(func() { d.names.Run(d.beside) })
	if d.status != nil { // else nobody sees what it watches
		d.running.Go(func() { d.page.Run(d.beside) })
	}
	d.running.Go(func() { d.status.Serve() })
	d.running.Go(func() { d.metrics.Serve() })
	d.running.Go(func() { d.profiles.Serve() })
	d.control.Serve(&d.running)
	d.links.Go(func() { d.mesh.Run(d.linked) })
	if d.options.Takeover.TakesOver() && d.Config().Mesh.Used() {
		d.awaitLinks()
	}
	if err := d.twin.Follow(d.linked); err != nil {
		d.log.Warn("peers of the process before are out of reach until they have moved", "reason", err)
	}
	accepting := make(chan error, 1)
	go func() { accepting <- d.edge.Serve(d.beside) }()
	d.stun.start(d.log)
	d.ready()
	d.running.Go(func() { d.health.Run(d.beside) })
	return accepting
}

// ready tells those who wait for it that the relay serves.
func (d *Daemon) ready() {
	d.control.Publish() // before the old process goes
	if d.options.Takeover.TakesOver() {
		d.notify(notify.Takeover) // before the old process can end, which is the main one until then
	} else {
		d.notify(notify.Ready)
	}
	if err := d.options.Takeover.Ready(); err != nil {
		d.log.Warn("the process before cannot be told that this one is ready", "reason", err)
	}
}

// serveUntil returns when ctx is done, somebody stops the relay, or another process
// has taken over, which it reports.
func (d *Daemon) serveUntil(ctx context.Context) (takenOver bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.beside, cancel)()
	defer context.AfterFunc(d.toldToGo, cancel)()
	if !d.options.Takeover.Watch(ctx, d.twin.Prepare(d.linked), d.log) {
		return false
	}
	d.mu.Lock()
	d.taken = true
	d.mu.Unlock()
	d.closeOps()  // they are the other process's now; errors do not matter any more
	d.stun.stop() // before it becomes silent: what it hears, the other does not
	return true
}

// awaitLinks waits until each sibling is linked, or is known to be out of reach.
func (d *Daemon) awaitLinks() {
	tick := time.NewTicker(linkLook)
	defer tick.Stop()
	for end := time.Now().Add(linkTimeout); time.Now().Before(end) && !settled(d.mesh.Siblings()); {
		select {
		case <-tick.C:
		case <-d.beside.Done():
			return
		}
	}
}

// settled reports whether no link is still to come up.
func settled(siblings []mesh.State) bool {
	for _, s := range siblings {
		known := s.Status == mesh.Linked || s.Status == mesh.Self || s.Status == mesh.Known
		if !known && s.LastError == "" {
			return false
		}
	}
	return len(siblings) > 0
}

// Stop ends all conns, closes the sockets and returns when nothing is left but Run's
// return. It may be called in any phase, and more than once.
func (d *Daemon) Stop() error {
	d.stopped.Do(func() { d.stopError = d.stop() })
	return d.stopError
}

func (d *Daemon) stop() error {
	before := d.life.Enter(front.Stopped)
	d.unlink()
	d.endBeside()
	if before != front.Opened {
		<-d.started
	}
	d.links.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	errs := []error{d.closeOps(), d.stun.stop()}
	if d.relay != nil {
		errs = append(errs, d.relay.Shutdown(ctx))
	}
	if d.edge != nil {
		errs = append(errs, d.edge.Shutdown(ctx))
	}
	d.closeLoops()
	errs = append(errs, d.closeSocket(before))
	return errors.Join(errs...)
}

// closeOps closes what listens beside the relay.
func (d *Daemon) closeOps() error {
	return errors.Join(d.http.Close(), d.status.Close(), d.metrics.Close(), d.profiles.Close(), d.control.Close())
}

func (d *Daemon) connections() int { return d.edge.Conns() + d.edge.Snapshot().Pending }

// size is how much memory the relay needs, in connections: what waits for slow receivers
// has some, too, and its buffers are kept when they are not used any more.
func (d *Daemon) size() int { return d.connections() + int(d.relay.OutboxPeak()/bytesPerConn) }

// bytesPerConn is about what a connection needs.
const bytesPerConn = 16 << 10

// packets returns how many packets the relay has received.
func (d *Daemon) packets() uint64 {
	received := d.relay.Counters().Received
	return received.Disco.Packets + received.Other.Packets
}
