package client

import (
	"errors"

	"github.com/detour-relay/detour/key"
)

// Send sends a packet to a peer, like Conn.Send. It does not wait for a connection:
// without one it drops the packet and returns ErrNotConnected. It waits for a relay
// that does not read, but not for longer than the connection lives.
func (r *Region) Send(dst key.Public, packet []byte) error {
	return r.sendWith(1, func(c *Conn) error { return c.Send(dst, packet) })
}

// SendBatch sends packets in order, like Conn.SendBatch, and otherwise like Send.
// If the connection breaks meanwhile and there is another one already, the whole
// batch is sent there, so that some of its packets may arrive twice.
func (r *Region) SendBatch(packets []Packet) error {
	return r.sendWith(len(packets), func(c *Conn) error { return c.SendBatch(packets) })
}

// sendWith tries on the current connection, and if that breaks meanwhile once on
// its successor.
func (r *Region) sendWith(n int, send func(*Conn) error) error {
	var tried *session
	for range 2 {
		s := r.enter()
		if s == nil {
			break
		}
		if s == tried {
			s.leave()
			break
		}
		s.noteSend()
		err := send(s.conn)
		s.leave()
		if err == nil || errors.Is(err, ErrPacketSize) {
			return err
		}
		tried = s
	}
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	r.stats.unsent.Add(uint64(n))
	return ErrNotConnected
}
