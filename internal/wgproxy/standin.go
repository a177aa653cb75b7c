package wgproxy

import (
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/detour-relay/detour/key"
)

// bufferSize is how much waits in a stand-in's socket, each way, in bytes: as much as
// WireGuard's own programs ask for.
const bufferSize = 7 << 20

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// A standIn is the socket that the device takes for a peer.
type standIn struct {
	peer    key.Public
	own     netip.AddrPort
	conn    *net.UDPConn
	wire    *wire
	running sync.WaitGroup
}

// newStandIn makes one, and hands what the device sends there to forward, which must not
// keep the packets. room is how large its buffers are.
func newStandIn(peer key.Public, port uint16, forward func(key.Public, [][]byte)) (s *standIn, room int, err error) {
	device := netip.AddrPortFrom(loopback, port)
	conn, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)), net.UDPAddrFromAddrPort(device))
	if err != nil {
		return nil, 0, fmt.Errorf("a socket on the loopback, for packets to and from WireGuard: %w", err)
	}
	room = enlarge(conn)
	w, err := newWire(conn)
	if err != nil {
		conn.Close()
		return nil, 0, err
	}
	s = &standIn{peer: peer, own: conn.LocalAddr().(*net.UDPAddr).AddrPort(), conn: conn, wire: w}
	s.running.Go(func() { w.receive(func(packets [][]byte) { forward(peer, packets) }) })
	return s, room, nil
}

// send hands packets to the device, and returns how many it cannot get: it does not
// listen, or they are too large for UDP. One goroutine at a time may call it.
func (s *standIn) send(packets [][]byte) (lost int) { return s.wire.send(packets) }

func (s *standIn) close() {
	s.conn.Close()
	s.running.Wait()
}
