package relay

import (
	"sync/atomic"
	"time"
)

// A line is a byte stream to somebody: what a conn, which a peer made to us, and
// a link, which we made to a sibling, have in common.
type line struct {
	// Set once.
	server  *Server
	stream  Stream
	timeout time.Duration         // how long it may take no bytes; negative: for ever
	ended   atomic.Pointer[error] // why it was closed, by whoever was first

	out outbox
}

// close ends the line for the reason given, and reports whether nobody did
// before.
func (l *line) close(err error) bool {
	if !l.ended.CompareAndSwap(nil, &err) {
		return false
	}
	l.stream.Close()
	return true
}

// initOutbox makes the outbox of the line, which holds limit bytes of each kind.
func (l *line) initOutbox(limit int) {
	s := l.server
	l.out = outbox{owner: l, limit: limit, age: max(0, int64(s.cfg.OutboxAge)), count: &s.count}
	l.out.drain = l.out.drainBlocked
}
