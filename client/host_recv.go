package client

import (
	"time"

	"github.com/detour-relay/detour/key"
)

// Recv waits for the next message from any region, like Region.Recv; Message.Region
// says where it came in. The only errors are ErrBufferSize and ErrClosed. Somebody
// has to call it all the time: who does not, stops the reading, and is not told of
// peers.
func (h *Host) Recv(buf []byte) (Message, error) {
	msg, tag, err := recvFrom(h.recvQueue, buf)
	if err != nil {
		return msg, err
	}
	r := tag.(*hostRegion)
	msg.Region = r.id
	switch msg.Kind {
	case MessagePacket:
		h.noteReceived()
		h.heardFrom(msg.Peer, r)
	case MessagePeerGone:
		h.lastHeard = lastHeard{}
		h.mu.Lock()
		h.peers.gone(msg.Peer, r)
		h.mu.Unlock()
	}
	return msg, nil
}

// lastHeard is where the packet before came from.
type lastHeard struct {
	peer   key.Public
	region *hostRegion
	breaks uint64
}

// heardFrom learns where a peer can be answered. One after the other, most packets
// come from the same.
func (h *Host) heardFrom(k key.Public, r *hostRegion) {
	is := lastHeard{k, r, r.breaks.Load()}
	if is == h.lastHeard {
		return
	}
	h.lastHeard = is
	h.mu.RLock()
	p, known := h.peers.all[k]
	h.mu.RUnlock()
	if known && p.heard == r && p.breaks == is.breaks {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.peers.heardIn(k, r)
}

// now is the time of the Host's life.
func (h *Host) now() time.Duration { return time.Since(h.born) }

// noteSent notes that the Host is in use, and returns the time.
func (h *Host) noteSent() time.Duration {
	now := h.now()
	h.sentAt.Store(int64(now))
	h.wakeIfAsleep()
	return now
}

func (h *Host) noteReceived() {
	if !h.received.Load() || h.asleep.Load() {
		h.received.Store(true)
		h.wakeIfAsleep()
	}
}

// wakeIfAsleep wakes the driver, which measures nothing while there is no traffic.
func (h *Host) wakeIfAsleep() {
	if h.asleep.Load() && h.asleep.CompareAndSwap(true, false) {
		h.wakeDriver()
	}
}

// lastTraffic returns when a packet was last sent or received. It is for the
// driver.
func (h *Host) lastTraffic() time.Time {
	if h.received.Swap(false) {
		h.sentAt.Store(int64(h.now()))
	}
	return h.born.Add(time.Duration(h.sentAt.Load()))
}
