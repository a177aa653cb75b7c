package limit

import "time"

// Idle is what somebody owes for frames that bring no packet: empty ones, unknown ones,
// Pings, a home said again and again, a packet in pieces of a byte. They cost the relay
// as much as those that do, and are worth nothing to anybody. A few are free; beyond that
// each costs its sender time in which it is not read (docs/decisions/0025).
//
// One goroutine at a time uses it.
type Idle struct {
	until int64 // when all will have been rested for
}

const (
	// idleCost is how long the sender of a burst without packets is to rest for it. For
	// idleFrames frames in it, or idleBytes of it, that is once more.
	idleCost   = 10 * time.Millisecond
	idleFrames = 16
	idleBytes  = 4 << 10

	// idleFree is what may be owed without a rest: a largest packet in pieces of an
	// Ethernet frame is less.
	idleFree = 64 * idleCost

	// mostIdle bounds what is owed, so that who has stopped is forgiven soon.
	mostIdle = idleFree + time.Second

	// packetPays is how many bytes of packets, their frames included, pay for a burst
	// that brought only a part of them.
	packetPays = 512

	// LongestIdleRest bounds one rest.
	LongestIdleRest = 250 * time.Millisecond
)

// Charge notes a burst of used bytes with so many packets, and other frames.
func (i *Idle) Charge(packets, others, used int, now int64) {
	if others == 0 && packets > 0 && i.until <= now {
		return // the usual case
	}
	i.until = min(max(i.until, now)+int64(idleOf(packets, others, used)), now+int64(mostIdle))
}

// idleOf is what a burst costs its sender; less than nothing if it pays for those before.
func idleOf(packets, others, used int) time.Duration {
	if others >= packets {
		return idleCost * time.Duration(1+others/idleFrames+used/idleBytes)
	}
	return -idleCost * time.Duration(packets+used/packetPays)
}

// Owes returns how long the rest would have to be; nothing or less for none.
func (i *Idle) Owes(now int64) time.Duration { return time.Duration(i.until-now) - idleFree }
