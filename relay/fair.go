package relay

import (
	"encoding/binary"

	"github.com/detour-relay/detour/internal/framequeue"
	"github.com/detour-relay/detour/internal/ledger"
	"github.com/detour-relay/detour/key"
)

// An outbox gives each of its sources a fair share (docs/decisions/0025). While little
// waits, or only one source sends, all packets are in one queue: other. As soon as several
// do and more than sharedFrom bytes wait, new packets are queued by source (turns), behind
// what is in other, until nothing waits.
const sharedFrom = framequeue.SegmentSize

// sourceOf is what a source is known by; keys are as good as random.
func sourceOf(src *key.Public) uint64 { return binary.LittleEndian.Uint64(src[:]) }

// sharedLocked reports whether a packet of so many bytes is to be queued by its source.
func (o *outbox) sharedLocked(src *key.Public, size int) bool {
	if o.turns != nil {
		return true
	}
	source := uint32(sourceOf(src))
	switch {
	case o.other.Head == nil:
		o.source, o.mixed = source, false
	case o.source != source:
		o.mixed = true
	}
	if !o.mixed || o.other.Bytes+size <= sharedFrom {
		return false
	}
	o.turns = framequeue.NewTurns()
	return true
}

// extendTurnsLocked makes room for a packet of a source, at the cost of who has most
// waiting. It returns how many of the packets that were dropped for that are the source's
// own fault: those of who has not much less waiting than the others.
func (o *outbox) extendTurnsLocked(src *key.Public, size int, now int64) (frame []byte, dropped int) {
	source := sourceOf(src)
	for o.other.Bytes+o.turns.Bytes+size > int(o.limit) {
		most, at := o.turns.Most()
		if o.other.Bytes >= most {
			o.dropLocked(ledger.QueueHead, ledger.Data, 1, o.other.DropOldest())
		} else {
			o.dropLocked(ledger.QueueHead, ledger.Data, 1, o.turns.DropOldest(at))
		}
		if 2*o.turns.Of(source) >= most {
			dropped++
		}
	}
	return o.turns.Extend(source, size, now, o.age/4), dropped
}

// takeDataLocked removes the next segment of packets that are not disco; nil if there
// is none.
func (o *outbox) takeDataLocked() *framequeue.Segment {
	if s := o.other.Take(); s != nil || o.turns == nil {
		return s
	}
	s := o.turns.Take()
	o.leaveTurnsLocked()
	return s
}

// dropStaleTurnsLocked is dropStaleLocked for what is queued by source.
func (o *outbox) dropStaleTurnsLocked(now int64) {
	if o.age == 0 || o.blockedAt.Load() == 0 {
		return
	}
	for s := o.turns.TakeOlder(now - o.age); s != nil; s = o.turns.TakeOlder(now - o.age) {
		o.giveUpLocked(ledger.QueueAge, ledger.Data, s)
	}
	o.leaveTurnsLocked()
}

// leaveTurnsLocked goes back to one queue when none is left.
func (o *outbox) leaveTurnsLocked() {
	if o.turns.Frames == 0 {
		o.turns.Release()
		o.turns = nil
	}
}
