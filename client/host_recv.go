package client

import (
	"time"

	"github.com/detour-relay/detour/internal/rate"
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
		h.peers.Gone(msg.Peer, r)
		h.mu.Unlock()
	}
	return msg, nil
}

// lastHeard is where the packet before came from, and that there was nothing to do
// about it.
type lastHeard struct {
	peer      key.Public
	region    *hostRegion
	breaks    uint64
	homesTold uint64
}

// heardFrom learns where a peer can be answered. One after the other, most packets
// come from the same.
func (h *Host) heardFrom(k key.Public, r *hostRegion) {
	is := lastHeard{k, r, r.breaks.Load(), h.homesTold.Load()}
	if is == h.lastHeard {
		return
	}
	h.mu.RLock()
	p := h.peers.Of(k)
	h.mu.RUnlock()
	if !p.HeardOn(r, is.breaks) {
		h.mu.Lock()
		h.peers.HeardIn(k, r)
		h.mu.Unlock()
	}
	if p.Home == 0 && h.cfg.OnUnknown != nil {
		h.tellUnknown(k, p.AskAgain) // and the next packet is looked at, too
		return
	}
	h.lastHeard = is
}

// unknownAgain is how soon we tell again of a peer whose home nobody told: WireGuard
// repeats a handshake after so long.
const unknownAgain = 5 * time.Second

var unknownLimit = rate.Limit{PerSecond: 16, Burst: 64}

// tellUnknown tells that nobody has told the home of a peer, if it is time to.
func (h *Host) tellUnknown(k key.Public, notBefore time.Duration) {
	now := h.now()
	if now < notBefore || !h.unknown.Take(unknownLimit, 1, now) {
		return
	}
	h.mu.Lock()
	h.peers.Asked(k, now+unknownAgain)
	h.mu.Unlock()
	h.cfg.OnUnknown(k)
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
