package client

import (
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// SetPeerHome tells which region is the home of a peer, as the coordination server
// says; 0: not known.
func (h *Host) SetPeerHome(peer key.Public, region int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.homesTold.Add(1)
	h.peers.SetHome(peer, region)
}

// Send sends a packet to a peer. It never waits: the packet is copied into the
// queue of a region, which drops what waited longest when it is full, and what
// waited for HostConfig.MaxAge. It goes to the peer's home region if we are connected
// to that; otherwise to where a packet of the peer came in last, if that connection lasts;
// otherwise its home region is opened, or if that is not in the map, the region where
// a packet of the peer came in last. Of a peer whose home nobody has told, it is
// assumed to be our own.
//
// Packets to one peer stay in order while its region stays the same. The error is
// ErrPacketSize, ErrNoRegion or ErrClosed.
func (h *Host) Send(peer key.Public, packet []byte) error {
	if len(packet) > derp.MaxPacket {
		return sizeError(len(packet))
	}
	return h.queuePacket(peer, packet, h.noteSent())
}

// queuePacket puts a packet that is not too large into the queue of its region.
func (h *Host) queuePacket(peer key.Public, packet []byte, now time.Duration) error {
	for h.ctx.Err() == nil {
		r := h.way(peer)
		if r == nil {
			h.stats.noRegion.Add(1)
			return ErrNoRegion
		}
		if r.sendQueue.Push(peer, packet, now) {
			r.lastSent.Store(int64(now))
			h.stats.queued.Add(1)
			return nil
		}
		// It has just been closed; there is another one next time, or none.
	}
	return ErrClosed
}

// way returns the region that packets for a peer go to, and opens it if need be.
func (h *Host) way(k key.Public) *hostRegion {
	for range 2 { // one that cannot be opened is not tried again
		h.mu.RLock()
		r, toOpen := h.wayLocked(k)
		h.mu.RUnlock()
		if r == nil && toOpen != 0 {
			r = h.open(toOpen)
		}
		if r != nil {
			return r
		}
	}
	return nil
}

// wayLocked returns the region that is open, or which one to open; 0: none.
func (h *Host) wayLocked(k key.Public) (r *hostRegion, toOpen int) {
	p := h.peers.Of(k)
	at := h.regions[p.Home]
	if at != nil && at.connected() {
		return at, 0
	}
	if r, ok := p.Heard(); ok { // it may have moved while nobody could tell
		return r, 0
	}
	switch {
	case at != nil:
		return at, 0
	case p.Home == 0:
		return h.regions[h.homeID], h.homeID
	case h.defs[p.Home] == nil:
		return h.regions[p.Last], p.Last
	}
	return nil, p.Home
}

// open returns the region with that ID, connecting to it unless it is open; nil:
// the map has none that could be used.
func (h *Host) open(id int) *hostRegion {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.openLocked(id, false)
}

func (h *Host) openLocked(id int, isHome bool) *hostRegion {
	if r := h.regions[id]; r != nil || h.ctx.Err() != nil {
		return r
	}
	def := h.defs[id]
	if def == nil {
		return nil
	}
	r, err := h.newHostRegion(def, id, isHome)
	if err != nil {
		h.log.Warn("a region of the map cannot be used", "region", id, "reason", err)
		h.defs[id] = nil // and is not tried again before there is another map
		return nil
	}
	h.startLocked(r)
	return r
}

// startLocked starts a region, after the one that had its ID before has ended.
func (h *Host) startLocked(r *hostRegion) {
	before := h.ending[r.id]
	h.regions[r.id], h.ending[r.id] = r, r.done
	h.running.Go(func() { r.begin(before) })
}
