package direct

import (
	"net"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/detour-relay/detour/internal/disco"
	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/key"
)

// Where the system joins packets that come one after the other, package conn reads into
// the last buffers of a batch and spreads them over the others.
const (
	packetSize = 2048
	joinedSize = 1 << 16
	joined     = 2
)

// buffers are those of one batch.
func buffers(n int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		size := packetSize
		if i >= n-joined {
			size = joinedSize
		}
		bufs[i] = make([]byte, size)
	}
	return bufs
}

// receive reads, until Close.
func (c *Conn) receive(read conn.ReceiveFunc) {
	n := c.bind.BatchSize()
	bufs, sizes, eps := buffers(n), make([]int, n), make([]conn.Endpoint, n)
	from, packets := make([]key.Public, 0, n), make([][]byte, 0, n)
	for {
		got, err := read(bufs, sizes, eps)
		if err != nil && !retry.Rest(c.ctx, 100*time.Millisecond, nil) || c.ctx.Err() != nil {
			return
		}
		from, packets = from[:0], packets[:0]
		now := int64(c.now())
		for i := range got {
			if sizes[i] == 0 {
				continue
			}
			src := eps[i].(*conn.StdNetEndpoint).AddrPort
			src = netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
			if packet := bufs[i][:sizes[i]]; !c.isOurs(src, packet) {
				if p := c.ownerOf(src); p != nil {
					p.heard.Store(now)
					from, packets = append(from, p.node), append(packets, packet)
				}
			}
		}
		if len(packets) > 0 {
			c.counts.received.Add(uint64(len(packets)))
			c.cfg.Deliver(from, packets)
		}
	}
}

// isOurs takes disco and answers of STUN, and reports whether a packet was such.
func (c *Conn) isOurs(src netip.AddrPort, packet []byte) bool {
	if isSTUN(packet) {
		select {
		case c.fromServers <- datagram{append([]byte(nil), packet...), src}:
		default: // nobody asks so many
		}
		return true
	}
	if _, ok := disco.Sender(packet); ok {
		c.hand(event{from: src, packet: packet})
		return true
	}
	return false
}

// ownerOf is the path that an address belongs to; nil: none.
func (c *Conn) ownerOf(a netip.AddrPort) *Path {
	c.mu.RLock()
	o, ok := c.owners[a]
	c.mu.RUnlock()
	if !ok {
		c.counts.unowned.Add(1)
	}
	return o.path
}

// isSTUN reports whether a packet is an answer to a binding request. WireGuard's have
// zeros where the second byte of its type is.
func isSTUN(b []byte) bool {
	return len(b) >= 20 && b[0] == 1 && (b[1] == 0x01 || b[1] == 0x11) && string(b[4:8]) == "\x21\x12\xa4\x42"
}

// A datagram is an answer of STUN.
type datagram struct {
	data []byte
	from netip.AddrPort
}

// A socket has the prober ask by ours.
type socket struct{ c *Conn }

func (s *socket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-s.c.fromServers:
		return copy(b, d.data), d.from, nil
	case <-s.c.ctx.Done():
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (s *socket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return len(b), s.c.bind.Send([][]byte{b}, &conn.StdNetEndpoint{AddrPort: to})
}

// Close does nothing: the Conn's Close does.
func (s *socket) Close() error { return nil }
