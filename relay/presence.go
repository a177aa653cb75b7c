package relay

import (
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// Watchers are siblings that asked which peers we have: they get a PeerPresent
// for every conn and a PeerGone for every key that leaves (spec 6.3).

// watch tells c of every key with an active conn, and of all changes from then
// on.
func (r *routes) watch(c *conn) {
	r.mu.Lock()
	if _, watches := r.watchers[c]; !watches {
		r.count.watchers.Add(1)
	}
	r.table.Each(func(rt *route) {
		if out := rt.active.Load(); out != nil && out.conn != nil {
			c.pushPresence(derp.AppendPeerPresent(nil, out.conn.presence()))
		}
	})
	r.watchers[c] = struct{}{}
	r.mu.Unlock()
	c.out.flush(nil, c.out.page)
}

func (r *routes) unwatchLocked(c *conn) {
	if _, watches := r.watchers[c]; watches {
		delete(r.watchers, c)
		r.count.watchers.Add(-1)
	}
}

// announceLocked tells the watchers of a new conn.
func (r *routes) announceLocked(c *conn, n *notices) {
	if len(r.watchers) > 0 {
		r.broadcastLocked(derp.AppendPeerPresent(nil, c.presence()), n)
	}
}

// announceGoneLocked tells the watchers that a key has left.
func (r *routes) announceGoneLocked(gone key.Public, n *notices) {
	if len(r.watchers) > 0 {
		r.broadcastLocked(derp.AppendPeerGone(nil, gone, derp.ReasonDisconnected), n)
		r.count.peerGone[derp.ReasonDisconnected].Add(uint64(len(r.watchers)))
	}
}

func (r *routes) broadcastLocked(frame []byte, n *notices) {
	for w := range r.watchers {
		w.pushPresence(frame)
		n.add(w)
	}
}

// pushPresence queues a frame that must not be lost: a watcher that leaves too
// many unread is closed, and starts afresh.
func (c *conn) pushPresence(frame []byte) {
	if !c.out.pushControl(frame, siblingControlLimit) {
		c.close(ErrOverrun)
	}
}

func (c *conn) presence() derp.Presence {
	p := derp.Presence{Key: c.key, Addr: c.addr, AppName: c.appName.Value()}
	if c.sibling {
		p.Flags |= derp.PresenceMesh
	}
	if c.prober {
		p.Flags |= derp.PresenceProber
	}
	if c.ideal.Value() != "" {
		p.Flags |= derp.PresenceNotIdeal
	}
	if p.Flags == 0 {
		p.Flags = derp.PresenceRegular
	}
	return p
}

// Who has received packets from a key is told once when that key leaves the
// region (spec 5.6); package audience remembers who that is. None of it takes the
// registration mutex: the first packet between two peers passes here.

// noteSender notes that c is about to receive packets from the key of src.
func (c *conn) noteSender(src *route) {
	r := &c.server.routes
	r.audience.Note(c, &src.listeners, r.senderHash(&src.key))
}

// senderHash stands for the key of a sender. Its lowest bit is set.
func (r *routes) senderHash(k *key.Public) uint64 { return r.table.Hash(k) | 1 }

// tellGoneLocked queues PeerGone for everybody who has heard from the key of rt. Who leaves
// a relay that drains is not gone, but on his way to where all will be.
func (r *routes) tellGoneLocked(rt *route, n *notices) {
	for _, c := range r.audience.Left(&rt.listeners, r.senderHash(&rt.key)) {
		if !r.draining {
			c.pushPeerGone(rt.key)
			n.add(c)
		}
	}
}
