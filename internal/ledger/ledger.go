// Package ledger counts what becomes of packets: they come, and then each is sent or
// given up for a reason.
//
// # Words
//
//   - amount: packets, and the bytes of their payload.
//   - account: what has become of the packets for one connection.
//   - book: the sums of a whole relay, in several pages, so that those who count at the
//     same time seldom write to the same memory.
package ledger

import "github.com/detour-relay/detour/internal/framequeue"

// A Kind tells the packets of NAT traversal from all others.
type Kind uint8

// The kinds.
const (
	Disco Kind = framequeue.Disco
	Data  Kind = framequeue.Data

	Kinds Kind = framequeue.Kinds
)

func (k Kind) String() string { return [Kinds]string{"disco", "other"}[k] }

// A Reason says why a packet was given up.
type Reason uint8

// The reasons, with the names that operators of DERP servers know, and QueueAge
// and QueueMemory besides.
const (
	UnknownDest      Reason = iota // nobody has the destination key
	UnknownDestOnFwd               // the same, for a packet that a sibling forwarded
	GoneDisconnected               // the destination left while the packet waited
	QueueHead                      // it waited longest in a full outbox
	QueueTail                      // it alone is larger than the outbox
	QueueAge                       // it waited too long
	QueueMemory                    // all outboxes together held too much, and this one more than its part
	WriteError                     // the conn broke while it was written
	DupClient                      // the key has conns, but none of them is active

	Reasons
)

var reasonNames = [Reasons]string{
	"unknown_dest", "unknown_dest_on_fwd", "gone_disconnected",
	"queue_head", "queue_tail", "queue_age", "queue_memory", "write_error", "dup_client",
}

func (r Reason) String() string { return reasonNames[r] }

// ReasonOf returns as what is counted what a box gives up.
func ReasonOf(why framequeue.Why) Reason {
	return [framequeue.Whys]Reason{
		framequeue.Full: QueueHead, framequeue.Short: QueueMemory, framequeue.Old: QueueAge, framequeue.Over: GoneDisconnected,
	}[why]
}

// An Amount is of packets, and of the bytes of their payload.
type Amount struct{ Packets, Bytes uint64 }

func (a *Amount) add(packets, bytes int) {
	a.Packets += uint64(packets)
	a.Bytes += uint64(bytes)
}

// An Account is what has become of the packets for one connection. Whoever has it
// guards it.
type Account struct {
	Sent, Lost Amount
	Waited     int64 // nanoseconds that those sent have waited, all together
}

// Send counts a batch that is about to be sent.
func (a *Account) Send(b *framequeue.Batch) {
	for k := range b.Packets {
		a.Sent.add(b.Packets[k], b.Bytes[k])
	}
	a.Waited += b.Waited
}

// Fail counts a batch as lost that was counted as sent, and was not.
func (a *Account) Fail(b *framequeue.Batch) {
	for k := range b.Packets {
		a.Sent.add(-b.Packets[k], -b.Bytes[k])
		a.Lost.add(b.Packets[k], b.Bytes[k])
	}
	a.Waited -= b.Waited
}

// Lose counts packets that were given up.
func (a *Account) Lose(packets, bytes int) { a.Lost.add(packets, bytes) }
