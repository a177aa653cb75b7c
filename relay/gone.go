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

// tellGone queues PeerGone for everybody who has heard from the key of rt.
func (r *routes) tellGone(rt *route, n *notices) {
	for _, c := range r.audience.Left(&rt.listeners, r.senderHash(rt)) {
		c.pushPeerGone(rt.key)
		n.add(c)
	}
}
