package relay

import (
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/histogram"
	"github.com/detour-relay/detour/internal/limit"
)

// counters are added to once per burst or batch, not per packet.
//
// At rest this sum holds, for each kind and for bytes as well as packets:
// received = sent + dropped + queued.
type counters struct {
	accepts       atomic.Uint64
	conns         atomic.Int64
	siblings      atomic.Int64 // of conns, those with a mesh key
	wrongMeshKeys atomic.Uint64
	homes         atomic.Int64
	notIdeal      atomic.Int64
	watchers      atomic.Int64
	dupKeys       atomic.Int64
	dupConns      atomic.Int64
	dupConnsTotal atomic.Uint64
	homeMovesIn   atomic.Uint64
	homeMovesOut  atomic.Uint64

	packetsIn    [packetKinds]atomic.Uint64
	bytesIn      [packetKinds]atomic.Uint64
	forwardedIn  atomic.Uint64
	packetsOut   [packetKinds]atomic.Uint64
	forwardedOut atomic.Uint64
	bytesOut     [packetKinds]atomic.Uint64
	dropped      [dropReasons][packetKinds]atomic.Uint64
	bytesLost    [dropReasons][packetKinds]atomic.Uint64

	pings, pongs  atomic.Uint64
	keepAlives    atomic.Uint64
	peerGone      [2]atomic.Uint64 // by derp.Reason
	unknownFrames atomic.Uint64
	closed        [endReasons]atomic.Uint64
	linkTries     atomic.Uint64
	linksEnded    [endReasons]atomic.Uint64

	rests       [limit.Reasons]atomic.Uint64 // limits.go
	restedBytes [limit.Reasons]atomic.Uint64
	rested      [limit.Reasons]atomic.Uint64 // nanoseconds

	outboxTime    histogram.Histogram // nanoseconds, as all times
	loginTime     histogram.Histogram
	admissionTime histogram.Histogram
	roundTrip     histogram.Histogram
	burstPackets  histogram.Histogram
}

func (n *counters) init() {
	const us, ms, s = int64(time.Microsecond), int64(time.Millisecond), int64(time.Second)
	n.outboxTime.Init(histogram.OneTwoFive(10*us, s)...)
	n.loginTime.Init(histogram.OneTwoFive(ms, 10*s)...)
	n.admissionTime.Init(histogram.OneTwoFive(100*us, 5*s)...)
	// With the bounds of derper among them, so that its names can have these numbers.
	n.roundTrip.Init(ms, 2*ms, 5*ms, 10*ms, 20*ms, 50*ms, 100*ms, 150*ms, 250*ms, 500*ms, s)
	n.burstPackets.Init(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
}

func (n *counters) received(b *burst) {
	for k, packets := range b.packets {
		if packets > 0 {
			n.packetsIn[k].Add(uint64(packets))
			n.bytesIn[k].Add(uint64(b.bytes[k]))
		}
	}
	if b.forwarded > 0 {
		n.forwardedIn.Add(uint64(b.forwarded))
	}
}

// written counts a batch as sent, or as dropped if writing failed.
func (n *counters) written(b *batch, forward bool, err error) {
	for k, packets := range b.Packets {
		switch {
		case packets == 0:
		case err != nil:
			n.drop(dropWriteError, packetKind(k), packets, b.Bytes[k])
		default:
			n.packetsOut[k].Add(uint64(packets))
			if forward {
				n.forwardedOut.Add(uint64(packets))
			}
			n.bytesOut[k].Add(uint64(b.Bytes[k]))
		}
	}
}

func (n *counters) drop(r dropReason, k packetKind, packets, bytes int) {
	n.dropped[r][k].Add(uint64(packets))
	n.bytesLost[r][k].Add(uint64(bytes))
}

// registered counts a conn in (by +1) or out (by -1).
func (n *counters) registered(c *conn, by int64) {
	n.conns.Add(by)
	if c.sibling {
		n.siblings.Add(by)
	}
	if c.ideal.Value() != "" {
		n.notIdeal.Add(by)
	}
}

// homeChanged counts a conn whose home flag changed; settled ones have moved.
func (n *counters) homeChanged(home, settled bool) {
	by, moves := int64(1), &n.homeMovesIn
	if !home {
		by, moves = -1, &n.homeMovesOut
	}
	n.homes.Add(by)
	if settled {
		moves.Add(1)
	}
}
