package trim

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

const (
	// RelayRoom and CoordinatorRoom are how many bytes of garbage there may be while much
	// of it is made, or as many as are in use. Handshakes make 60 to 120 KB each, so at
	// gcPercent a small heap would be collected after every few of them: that took a third
	// of the CPU time of logins. Each collection looks at all that the conns before keep,
	// so a server of 20,000 is to do without most. What a coordinator keeps for a member
	// is more than what a relay keeps for a peer.
	RelayRoom       = 32 << 20
	CoordinatorRoom = 256 << 20

	often    = 250 * time.Millisecond // from one collection to the next: much garbage is made
	calmTime = 2 * time.Second        // without a collection: it is over
)

// Pace has the heap collected less often while collections follow on each other, until
// ctx is done. It does nothing unless SetGCPercent has chosen the pace.
func Pace(ctx context.Context, room uint64) {
	if !ours.Load() {
		return
	}
	collected := make(chan struct{}, 1)
	over := time.NewTimer(calmTime)
	defer over.Stop()
	defer debug.SetGCPercent(gcPercent)
	notice(collected)
	for rush := (rush{}); ; {
		select {
		case <-ctx.Done():
			return
		case <-collected:
			if rush.collected(time.Now()) {
				debug.SetGCPercent(percentOf(room, live()))
				over.Reset(calmTime)
			}
			notice(collected)
		case <-over.C:
			rush.on = false
			debug.SetGCPercent(gcPercent)
		}
	}
}

// notice has the next collection be told.
func notice(collected chan<- struct{}) {
	runtime.AddCleanup(new([32]byte), func(collected chan<- struct{}) {
		select {
		case collected <- struct{}{}:
		default: // it is told already
		}
	}, collected)
}

// A rush is a time in which much garbage is made.
type rush struct {
	on   bool
	last time.Time // when there was a collection; zero: there was none
}

// collected is told of a collection, and reports whether there is a rush.
func (r *rush) collected(now time.Time) bool {
	r.on = r.on || now.Sub(r.last) < often
	r.last = now
	return r.on
}

// ours is set once the pace of the process is chosen here.
var ours atomic.Bool

// SetGCPercent chooses the collector's pace for a process that is a server, unless the
// environment does.
func SetGCPercent() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
		ours.Store(true)
	}
}

// live is how much of the heap was in use after the last collection.
func live() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

// percentOf is how far a heap may grow to have so much room: at least twofold, at most
// tenfold.
func percentOf(room, live uint64) int { return max(100, int(100*room/max(live, room/10))) }
