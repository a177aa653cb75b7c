package relay

// A DropReason says why a packet was given up.
type DropReason uint8

// The reasons, with the names that operators of DERP servers know, and
// DropQueueAge besides.
const (
	DropUnknownDest      DropReason = iota // nobody has the destination key
	DropUnknownDestOnFwd                   // the same, for a packet that a sibling forwarded
	DropGoneDisconnected                   // the destination left while the packet waited
	DropQueueHead                          // it waited longest in a full outbox
	DropQueueTail                          // it alone is larger than the outbox
	DropQueueAge                           // it waited too long
	DropWriteError                         // the conn broke while it was written
	DropDupClient                          // the key has conns, but none of them is active

	dropReasons
)

var dropNames = [dropReasons]string{
	"unknown_dest", "unknown_dest_on_fwd", "gone_disconnected",
	"queue_head", "queue_tail", "queue_age", "write_error", "dup_client",
}

func (r DropReason) String() string { return dropNames[r] }

// A PacketKind tells the packets of NAT traversal from all others.
type PacketKind uint8

// The kinds.
const (
	Disco PacketKind = iota
	Other

	packetKinds
)

func (k PacketKind) String() string { return [packetKinds]string{"disco", "other"}[k] }
