package client

import (
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// SetPeerHome tells which region is the home of a peer, as the coordination server says; 0: not known.
func (n *Node) SetPeerHome(peer key.Public, region int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.peers.setHome(peer, region)
}

// Send sends a packet to a peer. It never waits: the packet is copied into the queue of a region, which drops what waited longest
// when it is full, and what waited for 5 s. It goes to the peer's home region if we are connected to that; otherwise to where a packet
// of the peer came in last, if that connection lasts; otherwise a connection to its home region is opened. Of a peer
// whose home nobody has told, it is assumed to be our own.
//
// Packets to one peer stay in order while its region stays the same. The error is ErrPacketSize, ErrNoRegion or ErrClosed.
func (n *Node) Send(peer key.Public, packet []byte) error {
	if len(packet) > derp.MaxPacket {
		return sizeError(len(packet))
	}
	now := n.noteSent()
	for n.ctx.Err() == nil {
		r := n.way(peer)
		if r == nil {
			n.stats.noRegion.Add(1)
			return ErrNoRegion
		}
		if r.queue.push(peer, packet, now) {
			r.lastSent.Store(int64(now))
			n.stats.queued.Add(1)
			return nil
		}
		// It has just been closed; there is another one next time, or none.
	}
	return ErrClosed
}

// way returns the region that packets for a peer go to, and opens it if need be.
func (n *Node) way(k key.Public) *nodeRegion {
	n.mu.RLock()
	r, toOpen := n.wayLocked(k)
	n.mu.RUnlock()
	if r == nil && toOpen != 0 {
		r = n.open(toOpen)
	}
	return r
}

// wayLocked returns the region that is open, or which one to open; 0: none.
func (n *Node) wayLocked(k key.Public) (r *nodeRegion, toOpen int) {
	p := n.peers.all[k]
	if r := n.regions[p.home]; r != nil {
		return r, 0
	}
	if p.reachable() {
		return p.heard, 0
	}
	if p.home != 0 {
		return nil, p.home
	}
	return n.regions[n.homeID], n.homeID
}

// open returns the region with that ID, connecting to it unless it is open; nil: the map has none that could be used.
func (n *Node) open(id int) *nodeRegion {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.openLocked(id, false)
}

func (n *Node) openLocked(id int, isHome bool) *nodeRegion {
	if r := n.regions[id]; r != nil || n.ctx.Err() != nil {
		return r
	}
	def := n.defs[id]
	if def == nil {
		return nil
	}
	r, err := n.newNodeRegion(def, id, isHome)
	if err != nil {
		n.log.Warn("a region of the map cannot be used", "region", id, "reason", err)
		n.defs[id] = nil // and is not tried again before there is another map
		return nil
	}
	n.startLocked(r)
	return r
}

// startLocked starts a region, after the one that had its ID before has ended.
func (n *Node) startLocked(r *nodeRegion) {
	before := n.ending[r.id]
	n.regions[r.id], n.ending[r.id] = r, r.done
	n.running.Go(func() { r.begin(before) })
}
