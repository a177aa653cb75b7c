package relay

import (
	"sync/atomic"
	"time"
)

// A transport is a byte stream to somebody and the outbox in front of it: what a
// conn, which a peer made to us, and a link, which we made to a sibling, have in
// common.
type transport struct {
	// Set once.
	server  *Server
	stream  Stream
	timeout time.Duration         // how long it may take no bytes; negative: for ever; 0: Config.WriteTimeout
	ended   atomic.Pointer[error] // why it was closed, by whoever was first

	out outbox
}

// close ends the transport for the reason given, and reports whether nobody did
// before.
func (t *transport) close(err error) bool {
	if !t.ended.CompareAndSwap(nil, &err) {
		return false
	}
	t.stream.Close()
	return true
}

// initOutbox makes the outbox, which holds limit bytes of each kind.
func (t *transport) initOutbox(limit int) {
	s := t.server
	t.out = outbox{owner: t, limit: limit, age: max(0, int64(s.cfg.OutboxAge)), count: &s.count}
	t.out.writer = t.out.writeWhenReady
}
