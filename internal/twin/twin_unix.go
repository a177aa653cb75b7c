//go:build unix

package twin

import (
	"context"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/takeover"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// followTimeout bounds the wait for the peers of the process before.
const followTimeout = 3 * time.Second

// next makes the way to the next process, and goes it.
func (l *Link) next(ctx context.Context) (undo func(), err error) {
	next, err := newTwin(l.takeover)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	l.linking.Go(func() {
		next.run(ctx, l.relay, func() {})
		cancel()
	})
	return cancel, nil
}

// Follow links the relay to the process before, if there is one, until ctx is
// done, and returns when it knows the peers of that process.
func (l *Link) Follow(ctx context.Context) error {
	if !l.takeover.TakesOver() {
		return nil
	}
	before, err := inheritedTwin(l.takeover)
	if err != nil || before == nil {
		return err
	}
	known := make(chan struct{})
	var once sync.Once
	l.linking.Go(func() {
		defer once.Do(func() { close(known) })
		before.run(ctx, l.relay, func() { once.Do(func() { close(known) }) })
	})
	select {
	case <-known:
	case <-time.After(followTimeout):
	}
	return nil
}

// A twin is the way to the other process of a takeover: two connections, on one
// of which we link to it, and on the other it links to us. So peers of both
// processes reach each other until the old one has sent all of its own away.
type twin struct {
	link, serve net.Conn
}

// The names of the connections, as seen by the new process.
const (
	twinLink  = "twin-link"
	twinServe = "twin-serve"
)

// newTwin makes the connections and keeps the new process's ends to be handed
// over.
func newTwin(fds *takeover.Takeover) (t *twin, err error) {
	t = new(twin)
	if t.serve, err = handedOver(fds, twinLink); err != nil {
		return nil, err
	}
	if t.link, err = handedOver(fds, twinServe); err != nil {
		t.serve.Close()
		return nil, err
	}
	return t, nil
}

// handedOver makes a connection whose far end the next process gets under that
// name.
func handedOver(fds *takeover.Takeover, name string) (near net.Conn, err error) {
	syscall.ForkLock.RLock()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	far := os.NewFile(uintptr(pair[1]), name)
	defer far.Close()
	if err := fds.KeepFile(name, far); err != nil {
		syscall.Close(pair[0])
		return nil, err
	}
	return connOf(os.NewFile(uintptr(pair[0]), name))
}

// inheritedTwin returns the way to the process before; nil if there is none.
func inheritedTwin(fds *takeover.Takeover) (*twin, error) {
	var conns [2]net.Conn
	for i, name := range []string{twinLink, twinServe} {
		file, err := fds.File(name)
		if file == nil || err != nil {
			return nil, err
		}
		if conns[i], err = connOf(file); err != nil {
			return nil, err
		}
	}
	return &twin{link: conns[0], serve: conns[1]}, nil
}

// connOf makes a connection of a socket, which it closes.
func connOf(socket *os.File) (net.Conn, error) {
	defer socket.Close()
	return net.FileConn(socket)
}

// run keeps the connections until both have ended, or ctx is done. linked is
// called when we know the peers of the other process.
func (t *twin) run(ctx context.Context, r *relay.Server, linked func()) {
	var both sync.WaitGroup
	both.Go(func() {
		to := relay.Sibling{Name: "the other process", Takeover: true, Linked: func(key.Public) { linked() }}
		r.Link(ctx, netio.Blocking(t.link, nil), to) // its end is that of the other process, or ours
	})
	both.Go(func() { r.Serve(ctx, netio.Blocking(t.serve, nil), relay.Origin{Takeover: true}) })
	both.Wait()
}
