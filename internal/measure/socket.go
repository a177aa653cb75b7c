package measure

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/detour-relay/detour/internal/home"
	"github.com/detour-relay/detour/internal/stun"
)

// prober returns that of a family, whose socket is opened when it is first needed.
func (r *run) prober(ctx context.Context, family home.Family) (*stun.Prober, error) {
	return r.probers.of(ctx, family, func() (*stun.Prober, error) {
		conn, err := r.cfg.ListenPacket(ctx, fmt.Sprintf("udp%d", family), ":0")
		if err != nil {
			return nil, fmt.Errorf("opening a socket for STUN: %w", err)
		}
		return stun.NewProber(socketOf(conn)), nil
	})
}

func (r *run) closeProbers() {
	r.probers.found(func(p *stun.Prober) { p.Close() }) // nobody waits for answers any more
}

func socketOf(conn net.PacketConn) stun.Socket {
	if udp, ok := conn.(*net.UDPConn); ok {
		return udp
	}
	return packetSocket{conn}
}

// packetSocket is a net.PacketConn that is not one of the system's.
type packetSocket struct{ net.PacketConn }

// ReadFromUDPAddrPort returns no address for a sender who has none that we
// understand.
func (s packetSocket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := s.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	return n, addrPortOf(from), nil
}

func (s packetSocket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return s.WriteTo(b, net.UDPAddrFromAddrPort(to))
}

func addrPortOf(addr net.Addr) (at netip.AddrPort) {
	switch addr := addr.(type) {
	case nil:
	case *net.UDPAddr:
		at = addr.AddrPort()
	default:
		at, _ = netip.ParseAddrPort(addr.String()) // not valid after an error
	}
	return at
}
