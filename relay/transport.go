package relay

import (
	"math"
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

	roundTrip atomic.Uint32 // of TCP, in microseconds, when the kernel was asked last; 0: unknown

	out outbox
}

// askRoundTrip asks the stream for its round trip, if it knows any. That is a system
// call, so it is done seldom: when a conn comes and at each KeepAlive.
func (t *transport) askRoundTrip() (d time.Duration) {
	if s, ok := t.stream.(interface{ RoundTrip() time.Duration }); ok {
		d = s.RoundTrip()
		t.roundTrip.Store(uint32(min(d.Microseconds(), math.MaxUint32)))
	}
	return d
}

// lastRoundTrip is what the last answer was.
func (t *transport) lastRoundTrip() time.Duration {
	return time.Duration(t.roundTrip.Load()) * time.Microsecond
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
	t.out = outbox{owner: t}
	t.out.box.Limit = int32(min(limit, math.MaxInt32))
	t.out.writer = t.out.writeWhenReady
}
