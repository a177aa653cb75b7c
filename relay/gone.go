package relay

// Who has received packets from a key is told once when that key leaves the
// region (spec 5.6); package audience remembers who that is. None of it takes the
// registration mutex: the first packet between two peers passes here.

// noteSender notes that c is about to receive packets from the key of src.
func (c *conn) noteSender(src *route) {
	r := &c.server.routes
	r.audience.Note(c, &src.listeners, r.senderHash(src))
}

// senderHash stands for the key of a sender. Its lowest bit is set.
func (r *routes) senderHash(rt *route) uint64 { return r.table.Hash(&rt.key) | 1 }

// tellGoneLocked queues PeerGone for everybody who has heard from the key of rt. Who leaves
// a relay that drains is not gone, but on his way to where all will be.
func (r *routes) tellGoneLocked(rt *route, n *notices) {
	for _, c := range r.audience.Left(&rt.listeners, r.senderHash(rt)) {
		if !r.draining {
			c.pushPeerGone(rt.key)
			n.add(c)
		}
	}
}
