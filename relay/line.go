package relay

import (
	"sync/atomic"
	"time"
)

// A line is a byte stream to somebody: what a conn, which a peer made to us, and
// a link, which we made to a sibling, have in common.
type line struct {
	// Set once.
	server   *Server
	stream   Stream
	patience time.Duration         // how long it may take no bytes; negative: for ever
	ended    atomic.Pointer[error] // why it was closed, by whoever was first

	out outbox
}

// close ends the line for the reason given, if nobody did before.
func (l *line) close(err error) {
	if l.ended.CompareAndSwap(nil, &err) {
		l.stream.Close()
	}
}

// initOutbox makes the outbox of the line, which holds limit bytes of each kind.
func (l *line) initOutbox(limit int) {
	s := l.server
	l.out = outbox{owner: l, limit: limit, age: max(0, int64(s.cfg.OutboxAge)), count: &s.count}
	l.out.drain = l.out.drainBlocked
}
