package paths

import (
	"time"

	"github.com/detour-relay/detour/internal/rate"
)

// Limits of what others can make us do.
var (
	askedLimit    = rate.Limit{PerSecond: 1. / 300, Burst: 6} // pings of a candidate that has not answered
	backLimit     = rate.Limit{PerSecond: 1. / 10, Burst: 3}  // likewise, when a ping has come from there
	unprovenLimit = rate.Limit{PerSecond: 1. / 10, Burst: 24} // the same, of all of a peer
	allLimit      = rate.Limit{PerSecond: 8, Burst: 256}      // the same, of all peers
	pingLimit     = rate.Limit{PerSecond: 8, Burst: 64}       // pings to a peer, of any kind
	pongLimit     = rate.Limit{PerSecond: 8, Burst: 32}       // pings of a peer that are answered
	calledLimit   = rate.Limit{PerSecond: 1. / 2, Burst: 6}   // calls of a peer that are heard
	callLimit     = rate.Limit{PerSecond: 1. / 5, Burst: 6}   // calls to a peer
)

// A Budget bounds the pings to addresses that have not answered, of all peers that share
// it. Its zero value is full.
type Budget struct{ bucket rate.Bucket }

func (b *Budget) take(now time.Duration) bool { return b.bucket.Take(allLimit, 1, now) }
