package usernet

import (
	"os"
	"sync"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// batch is how many packets go from hand to hand.
const batch = 128

// link is the stack as a WireGuard device sees it.
type link struct {
	endpoint *endpoint
	stack    *stack.Stack
	mtu      int
	events   chan tun.Event
	ended    chan struct{} // closed by Close
	closing  sync.Once

	rest segments // owned by Read: of the packet that is being cut
}

var _ tun.Device = (*link)(nil)

func newLink(e *endpoint, s *stack.Stack, mtu int, ended chan struct{}) *link {
	l := &link{endpoint: e, stack: s, mtu: mtu, events: make(chan tun.Event, 1), ended: ended}
	l.events <- tun.EventUp
	return l
}

// Read takes packets that the stack sends. Each begins at offset.
func (l *link) Read(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	if !l.rest.left() {
		select {
		case p := <-l.endpoint.out:
			l.take(p)
		case <-l.ended:
			return 0, os.ErrClosed
		}
	}
	for {
		for l.rest.left() && n < len(bufs) {
			sizes[n] = l.rest.next(bufs[n][offset:])
			n++
		}
		if n == len(bufs) {
			return n, nil
		}
		select {
		case p := <-l.endpoint.out:
			l.take(p)
		default:
			return n, nil
		}
	}
}

func (l *link) take(p *stack.PacketBuffer) {
	l.rest.take(p)
	p.DecRef()
}

// Write hands packets to the stack, which keeps a copy. What is no packet of IP is left
// out: a peer has sent it.
func (l *link) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		protocol, b := whole(b[min(offset, len(b)):])
		if b == nil {
			continue
		}
		p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
		l.endpoint.deliver(protocol, p)
		p.DecRef()
	}
	l.endpoint.flush(len(bufs))
	return len(bufs), nil
}

// Close ends the stack with all its connections.
func (l *link) Close() error {
	l.closing.Do(func() {
		close(l.ended)
		l.stack.RemoveNIC(nic)
		l.stack.Destroy()
		l.endpoint.Close()
		close(l.events)
	})
	return nil
}

func (l *link) File() *os.File           { return nil }
func (l *link) MTU() (int, error)        { return l.mtu, nil }
func (l *link) Name() (string, error)    { return "userspace", nil }
func (l *link) Events() <-chan tun.Event { return l.events }
func (l *link) BatchSize() int           { return batch }
