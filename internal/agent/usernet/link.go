package usernet

import (
	"context"
	"os"
	"sync"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// batch is how many packets go from hand to hand.
const batch = 128

// link is the stack as a WireGuard device sees it.
type link struct {
	endpoint *channel.Endpoint
	stack    *stack.Stack
	mtu      int
	events   chan tun.Event
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	closing  sync.Once
}

var _ tun.Device = (*link)(nil)

func newLink(e *channel.Endpoint, s *stack.Stack, mtu int) *link {
	l := &link{endpoint: e, stack: s, mtu: mtu, events: make(chan tun.Event, 1)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.events <- tun.EventUp
	return l
}

// Read takes packets that the stack sends. Each begins at offset.
func (l *link) Read(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	packet := l.endpoint.ReadContext(l.ctx)
	if packet == nil {
		return 0, os.ErrClosed
	}
	for {
		sizes[n] = copyOut(bufs[n][offset:], packet)
		packet.DecRef()
		if n++; n == len(bufs) {
			return n, nil
		}
		if packet = l.endpoint.Read(); packet == nil {
			return n, nil
		}
	}
}

func copyOut(to []byte, packet *stack.PacketBuffer) (n int) {
	for _, part := range packet.AsSlices() {
		n += copy(to[n:], part)
	}
	return n
}

// Write hands packets to the stack, which keeps a copy. What is no packet of IP is left
// out: a peer has sent it.
func (l *link) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		if len(b) <= offset {
			continue
		}
		b = b[offset:]
		packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
		switch b[0] >> 4 {
		case 4:
			l.endpoint.InjectInbound(header.IPv4ProtocolNumber, packet)
		case 6:
			l.endpoint.InjectInbound(header.IPv6ProtocolNumber, packet)
		}
		packet.DecRef()
	}
	return len(bufs), nil
}

// Close ends the stack with all its connections.
func (l *link) Close() error {
	l.closing.Do(func() {
		l.cancel()
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
