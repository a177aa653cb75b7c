package measure

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/detour-relay/detour/internal/home"
	"github.com/detour-relay/detour/internal/stun"
)

type listenFunc = func(ctx context.Context, network, address string) (net.PacketConn, error)

// sockets are the two that probes leave by, opened when they are needed.
type sockets struct {
	mu     sync.Mutex
	opened map[home.Family]opened // guarded by mu
}

type opened struct {
	prober *stun.Prober // nil after an error
	err    error
}

// of returns the prober of a family.
func (s *sockets) of(ctx context.Context, listen listenFunc, family home.Family) (*stun.Prober, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o, ok := s.opened[family]; ok {
		return o.prober, o.err
	}
	if s.opened == nil {
		s.opened = make(map[home.Family]opened)
	}
	var o opened
	conn, err := listen(ctx, fmt.Sprintf("udp%d", family), ":0")
	if err != nil {
		o.err = fmt.Errorf("opening a socket for STUN: %w", err)
	} else {
		o.prober = stun.NewProber(socketOf(conn))
	}
	s.opened[family] = o
	return o.prober, o.err
}

func (s *sockets) close() {
	for _, o := range s.opened {
		if o.prober != nil {
			o.prober.Close()
		}
	}
}

func socketOf(conn net.PacketConn) stun.Socket {
	if udp, ok := conn.(*net.UDPConn); ok {
		return udp
	}
	return packetSocket{conn}
}

// packetSocket is a net.PacketConn that is not one of the system's.
type packetSocket struct{ net.PacketConn }

func (s packetSocket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := s.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	if udp, ok := from.(*net.UDPAddr); ok {
		return n, udp.AddrPort(), nil
	}
	addr, err := netip.ParseAddrPort(from.String())
	return n, addr, err
}

func (s packetSocket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return s.WriteTo(b, net.UDPAddrFromAddrPort(to))
}
