package relay

// Packets are dropped in these places and nowhere else:
//
//	conn.unknownDest          nobody has the key               ingress.go
//	conn.lookup, lookupFlow   none of its conns is active      ingress.go, forward.go
//	outbox.push               closed, too large, or to make    outbox.go
//	                          room for a newer one
//	outbox.dropStaleLocked    it waited too long: on push, on  outbox.go
//	                          take, and by the sweeper
//	outbox.close              the conn has ended               outbox.go
//	counters.written          the transport failed             counters.go

// A dropReason says why a packet was given up.
type dropReason uint8

// The reasons, with the names that operators of DERP servers know, and
// dropQueueAge besides.
const (
	dropUnknownDest      dropReason = iota // nobody has the destination key
	dropUnknownDestOnFwd                   // the same, for a packet that a sibling forwarded
	dropGoneDisconnected                   // the destination left while the packet waited
	dropQueueHead                          // it waited longest in a full outbox
	dropQueueTail                          // it alone is larger than the outbox
	dropQueueAge                           // it waited too long
	dropWriteError                         // the conn broke while it was written
	dropDupClient                          // the key has conns, but none of them is active

	dropReasons
)

var dropNames = [dropReasons]string{
	"unknown_dest", "unknown_dest_on_fwd", "gone_disconnected",
	"queue_head", "queue_tail", "queue_age", "write_error", "dup_client",
}

func (r dropReason) String() string { return dropNames[r] }

// A packetKind tells the packets of NAT traversal from all others.
type packetKind uint8

// The kinds.
const (
	kindDisco packetKind = iota
	kindData

	packetKinds
)

func (k packetKind) String() string { return [packetKinds]string{"disco", "other"}[k] }
