//go:build !linux

package wgproxy

import (
	"errors"
	"net"
)

// mostPacket is the largest datagram.
const mostPacket = 1 << 16

// A wire reads and writes packets of one connected socket.
type wire struct{ conn *net.UDPConn }

func newWire(conn *net.UDPConn) (*wire, error) { return &wire{conn}, nil }

// enlarge asks for large buffers, and for smaller ones where the system does not allow
// them; 0: it allows none.
func enlarge(conn *net.UDPConn) (room int) {
	for room = bufferSize; room >= 64<<10; room /= 2 {
		if conn.SetReadBuffer(room) == nil && conn.SetWriteBuffer(room) == nil {
			return room
		}
	}
	return 0
}

// receive hands over what comes until the socket is closed. That nobody listens at the
// other end is an error, too, and ends nothing.
func (w *wire) receive(forward func(packets [][]byte)) {
	buf := make([]byte, mostPacket)
	for {
		n, err := w.conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			forward([][]byte{buf[:n]})
		}
	}
}

// send writes packets, and returns how many could not be.
func (w *wire) send(packets [][]byte) (lost int) {
	for _, p := range packets {
		if _, err := w.conn.Write(p); err != nil {
			lost++
		}
	}
	return lost
}
