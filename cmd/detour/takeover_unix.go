//go:build unix

package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"
	"github.com/detour-relay/detour/relay"
)

// A takeover hands the sockets of this process to the one that replaces it: on
// SIGUSR2 the program is started again, from the same path with the same
// arguments, and when it is ready this process drains. Nobody finds the address
// closed meanwhile, because the socket itself is handed over. A nil takeover has
// nothing to hand over.
type takeover struct {
	upgrader *tableflip.Upgrader
	asked    chan os.Signal // gets SIGUSR2
	linking  sync.WaitGroup // links to other processes
}

// newTakeover may be called once in a process. From then on SIGUSR2 does not end
// it any more, also while it drains.
func newTakeover() (*takeover, error) {
	upgrader, err := tableflip.New(tableflip.Options{})
	if err != nil {
		return nil, err
	}
	t := &takeover{upgrader: upgrader, asked: make(chan os.Signal, 1)}
	signal.Notify(t.asked, syscall.SIGUSR2)
	return t, nil
}

// inherited returns the listener of that name from the process before; nil if
// there is none.
func (t *takeover) inherited(name string) (net.Listener, error) {
	if t == nil {
		return nil, nil
	}
	return t.upgrader.Listener("tcp", name)
}

// keep has a listener handed on to the next process.
func (t *takeover) keep(name string, listener net.Listener) error {
	if t == nil {
		return nil
	}
	socket, ok := listener.(tableflip.Listener)
	if !ok {
		return errors.New("the listener has no socket")
	}
	return t.upgrader.AddListener("tcp", name, socket)
}

// inheritedPacketConn returns the UDP socket of that name from the process
// before; nil if there is none.
func (t *takeover) inheritedPacketConn(name string) (*net.UDPConn, error) {
	if t == nil {
		return nil, nil
	}
	file, err := t.upgrader.File(name)
	if file == nil || err != nil {
		return nil, err
	}
	defer file.Close()
	socket, err := net.FilePacketConn(file)
	if err != nil {
		return nil, err
	}
	udp, ok := socket.(*net.UDPConn)
	if !ok {
		return nil, errors.New("what the process before handed over is no UDP socket")
	}
	return udp, nil
}

// keepFile has a copy of a file handed on to the next process.
func (t *takeover) keepFile(name string, file *os.File) error {
	if t == nil {
		return nil
	}
	return t.upgrader.AddFile(name, file)
}

// takesOver reports whether this process replaces another.
func (t *takeover) takesOver() bool { return t != nil && t.upgrader.HasParent() }

// ready tells the process before, if there is one, that it may go.
func (t *takeover) ready() error {
	if t == nil {
		return nil
	}
	return t.upgrader.Ready()
}

// watch starts the next process whenever SIGUSR2 comes, until one has become
// ready or ctx is done. It reports whether one has. The two processes are linked
// until beside is done.
func (t *takeover) watch(ctx, beside context.Context, r *relay.Server, log *slog.Logger) bool {
	if t == nil {
		<-ctx.Done()
		return false
	}
	defer context.AfterFunc(ctx, t.upgrader.Stop)() // ends an attempt that is under way
	for {
		select {
		case <-ctx.Done():
			t.release()
			return false
		case <-t.asked:
		}
		if os.Getpid() == 1 {
			log.Error("SIGUSR2: this is process 1, whose end is the end of the container: replace the container instead")
			continue
		}
		log.Info("SIGUSR2: starting the program anew")
		err := t.upgrade(beside, r)
		if err == nil {
			return true
		}
		if ctx.Err() == nil {
			log.Error("SIGUSR2: the new process did not take over; this one goes on", "reason", err)
		}
	}
}

// release closes the copies of the sockets that were kept for the next process. As
// long as there is one, a listener that was closed takes connections all the same,
// which nobody answers.
func (t *takeover) release() {
	t.upgrader.Stop()
	<-t.upgrader.Exit()
}

// upgrade starts the next process and links the relay to it.
func (t *takeover) upgrade(ctx context.Context, r *relay.Server) error {
	next, err := newTwin(t.upgrader.Fds)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	t.linking.Go(func() {
		next.run(ctx, r, func() {})
		cancel()
	})
	if err := t.upgrader.Upgrade(); err != nil {
		cancel()
		return err
	}
	return nil
}

// follow links the relay to the process before, if there is one, until ctx is
// done, and returns when it knows the peers of that process.
func (t *takeover) follow(ctx context.Context, r *relay.Server) error {
	if !t.takesOver() {
		return nil
	}
	before, err := inheritedTwin(t.upgrader.Fds)
	if err != nil || before == nil {
		return err
	}
	known := make(chan struct{})
	var once sync.Once
	t.linking.Go(func() {
		defer once.Do(func() { close(known) })
		before.run(ctx, r, func() { once.Do(func() { close(known) }) })
	})
	select {
	case <-known:
	case <-time.After(linkPatience):
	}
	return nil
}

// wait returns when the relay is not linked to another process any more.
func (t *takeover) wait() {
	if t != nil {
		t.linking.Wait()
	}
}
