package relay

// Notices are the conns that were sent control frames while the registration
// mutex was held. They are flushed once it is free again.
type notices []*conn

func (n *notices) add(conns ...*conn) { *n = append(*n, conns...) }

func (n notices) flush() {
	for _, c := range n {
		c.out.flush(nil, c.out.page)
	}
}

// update runs f with the registration mutex held and then flushes those whom f
// has sent something.
func (r *routes) update(f func(n *notices)) {
	var n notices
	r.mu.Lock()
	f(&n)
	r.mu.Unlock()
	n.flush()
}
