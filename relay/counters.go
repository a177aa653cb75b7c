package relay

import (
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/histogram"
	"github.com/detour-relay/detour/internal/ledger"
	"github.com/detour-relay/detour/internal/limit"
)

// counters are added to once per burst or batch, not per packet.
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

	book ledger.Book // of packets

	pings, pongs  atomic.Uint64
	keepAlives    atomic.Uint64
	peerGone      [2]atomic.Uint64 // by derp.Reason
	unknownFrames atomic.Uint64
	closed        [endReasons]atomic.Uint64
	linkTries     atomic.Uint64
	linksEnded    [endReasons]atomic.Uint64

	rests limit.Rests // limits.go

	loginTime     histogram.Histogram // nanoseconds
	admissionTime histogram.Histogram
	roundTrip     histogram.Histogram
}

func (n *counters) init() {
	const us, ms, s = int64(time.Microsecond), int64(time.Millisecond), int64(time.Second)
	n.book.Init()
	n.loginTime.Init(histogram.OneTwoFive(ms, 10*s)...)
	n.admissionTime.Init(histogram.OneTwoFive(100*us, 5*s)...)
	// With the bounds of derper among them, so that its names can have these numbers.
	n.roundTrip.Init(ms, 2*ms, 5*ms, 10*ms, 20*ms, 50*ms, 100*ms, 150*ms, 250*ms, 500*ms, s)
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
