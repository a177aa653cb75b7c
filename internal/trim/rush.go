package trim

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
)

const (
	rushBegins = 128 // handshakes under way
	rushEnds   = 16

	// rushRoom is how many bytes of garbage there may be during a rush, or as many as are
	// in use. Handshakes make 60 to 100 KB each, so a small heap would be collected after
	// every few of them: that took a third of the CPU time of logins. Each collection
	// looks at all that the conns before keep, so a server of 20,000 is to do without most.
	rushRoom = 256 << 20

	// rushLook is after how many changes the pace goes by what is in use now.
	rushLook = 1024
)

// A Rush has the heap collected less often while many handshakes are under way. The
// zero value is ready. It does nothing unless SetGCPercent has chosen the pace.
type Rush struct {
	on    atomic.Bool
	notes atomic.Uint32
	mu    sync.Mutex // held while the pace changes
}

// Note is told how many handshakes are under way whenever that changes.
func (r *Rush) Note(underWay int64) {
	if on := r.on.Load(); !on && underWay < rushBegins || on && underWay > rushEnds && r.notes.Add(1)%rushLook != 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch on := r.on.Load(); {
	case !ours.Load():
	case underWay >= rushBegins || on && underWay > rushEnds:
		debug.SetGCPercent(percentOf(rushRoom, live()))
		r.on.Store(true)
	case on:
		debug.SetGCPercent(gcPercent)
		r.on.Store(false)
	}
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
