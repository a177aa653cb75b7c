package client

import (
	"errors"
	"fmt"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// SendBatch sends packets in order, each like Send. It never waits. With
// ErrPacketSize none was taken; a packet with another error does not keep those
// behind it, and the first such error is returned.
func (h *Host) SendBatch(packets []Packet) error {
	for i := range packets {
		if n := len(packets[i].Data); n > derp.MaxPacket {
			return fmt.Errorf("packet %d of %d: %w", i+1, len(packets), sizeError(n))
		}
	}
	if len(packets) == 0 {
		return nil
	}
	now := h.noteSent()
	var failed error
	for i := range packets {
		err := h.queuePacket(packets[i].Peer, packets[i].Data, now)
		if failed == nil {
			failed = err
		}
	}
	return failed
}

// AwaitRoom waits while the queue of the region that packets to a peer go to is more than
// half full: for who can be slowed down, instead of losing packets. It takes MaxAge at the
// most, and no time if that region has taken nothing for so long.
func (h *Host) AwaitRoom(peer key.Public) {
	h.mu.RLock()
	r, _ := h.wayLocked(peer)
	h.mu.RUnlock()
	if r != nil {
		r.sendQueue.AwaitRoom(h.now(), h.ctx.Done())
	}
}

// ReadPackets waits for a packet, and returns it with those that have arrived
// already, as many as there are buffers: bufs[i][:sizes[i]] came from from[i]. The
// slices are to have the same length. Messages that are no packets go to
// HostConfig.OnEvent, each before the packets that came in after it.
//
// The errors are those of Recv, and come with n = 0; after ErrBufferSize the same
// packet is returned to the next call with a larger first buffer. ReadPackets
// stands in Recv's place: only one of them may be called at a time.
func (h *Host) ReadPackets(bufs [][]byte, sizes []int, from []key.Public) (n int, err error) {
	if len(sizes) != len(bufs) || len(from) != len(bufs) || len(bufs) == 0 {
		return 0, errors.New("read packets: want as many sizes and senders as buffers, and at least one")
	}
	for n < len(bufs) && (n == 0 || h.recvQueue.Ready()) {
		msg, err := h.Recv(bufs[n])
		switch {
		case err != nil && n > 0:
			return n, nil // it comes again
		case err != nil:
			return 0, err
		case msg.Kind == MessagePacket:
			sizes[n], from[n] = len(msg.Packet), msg.Peer
			n++
		case h.cfg.OnEvent != nil:
			h.cfg.OnEvent(msg)
		}
	}
	return n, nil
}
