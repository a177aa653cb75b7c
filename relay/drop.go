package relay

import (
	"github.com/detour-relay/detour/internal/framequeue"
	"github.com/detour-relay/detour/internal/ledger"
)

// Packets are dropped in these places and nowhere else:
//
//	conn.unknownDest          nobody has the key               ingress.go
//	conn.lookup, lookupFlow   none of its conns is active      ingress.go, forward.go
//	outbox.push               closed, too large, or no memory  outbox.go
//	                          is left; by Box.Room, to make
//	                          room for a newer one, from who
//	                          has most
//	outbox.dropStaleLocked    it waited too long: on push, on  outbox.go
//	                          take, and by the sweeper
//	outbox.close              the conn has ended               outbox.go
//	outbox.giveUp             the transport failed             egress.go
//
// The first two know no conn that the packet is for; all others count it in the conn's
// account, too, as long as the conn is there.

// dropLocked counts packets that were given up, whose frames have so many bytes.
func (o *outbox) dropLocked(r ledger.Reason, k ledger.Kind, packets, frameBytes int) {
	bytes := frameBytes - packets*o.overhead()
	o.page.Lost(r, k, packets, bytes)
	if !o.closed {
		o.account.Lose(packets, bytes)
	}
}

// Lost counts packets that the box gave up (framequeue.Losses).
func (o *outbox) Lost(why framequeue.Why, kind, packets, frameBytes int) {
	o.dropLocked(ledger.ReasonOf(why), ledger.Kind(kind), packets, frameBytes)
}
