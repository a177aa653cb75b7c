package daemon

import (
	"context"
	"os"
	"runtime/debug"
	"time"
)

const (
	trimLook = 5 * time.Second  // how often the number of conns is looked at
	trimRest = 30 * time.Second // at least so long between two trimmings

	// trimBusy is how many packets a second make a relay too busy to be trimmed.
	trimBusy = 2000

	// trimStep is the change in conns worth a trimming, and at least an eighth.
	trimStep = 64
)

// relayGCPercent is how far the heap of a relay may grow between collections, in
// percent. Relaying packets allocates nothing, so only logins pay for a lower
// value than Go's 100; and the less garbage lies between what the conns keep,
// the fewer pages are held by a few live objects each. Resident memory per idle
// TLS conn, 5,000 of them a minute after they came, lowest and highest of two to
// four runs: 14.5 to 14.8 KB at 100, 13.9 to 14.3 at 50, 13.6 to 13.8 at 25. The
// CPU time of their logins differed less than between runs (1.5 to 2 ms each).
const relayGCPercent = 25

// SetGCPercent chooses the collector's pace for a process that is made of relays,
// unless the environment does.
func SetGCPercent() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(relayGCPercent)
	}
}

// A memoryTrimmer gives memory back to the system after the number of conns has
// changed a lot and the relay has become quiet.
//
// A handshake needs many times the memory of the conn it leaves behind, so a
// rush of them grows the heap to a size that an idle relay neither uses nor
// collects: the collector runs when the heap has doubled, which idle conns do
// not bring about, and what it frees returns to the system only over minutes.
// Stacks that a login has grown shrink by half at a collection, hence the second
// trimming for each change.
type memoryTrimmer struct {
	conns   func() int    // how many there are, upgraded or not; cheap
	packets func() uint64 // how many came in so far
	free    func()        // debug.FreeOSMemory, except in tests

	trimmed int       // conns at the last trimming
	left    int       // trimmings still to do for the change at hand
	last    time.Time // of the last trimming
	seen    int       // conns at the last look
	watched bool      // counted holds the packets at the last look
	counted uint64
}

// run trims until ctx is done.
func (m *memoryTrimmer) run(ctx context.Context) {
	if m.free == nil {
		m.free = debug.FreeOSMemory
	}
	ticker := time.NewTicker(trimLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			m.look(now)
		}
	}
}

// look trims if it is worth it and harms nobody.
func (m *memoryTrimmer) look(now time.Time) {
	conns := m.conns()
	steady := apart(conns, m.seen) <= max(8, conns/100)
	m.seen = conns
	if apart(conns, m.trimmed) >= max(trimStep, m.trimmed/8) {
		m.trimmed, m.left = conns, 2
	}
	if m.left == 0 {
		m.watched = false
		return
	}
	if quiet := m.quiet(); !quiet || !steady || now.Sub(m.last) < trimRest {
		return
	}
	m.free()
	m.trimmed, m.last = conns, now
	m.left--
}

// quiet reports whether few packets came since the last look. The first look
// only counts.
func (m *memoryTrimmer) quiet() bool {
	packets := m.packets()
	came := packets - m.counted
	known := m.watched
	m.counted, m.watched = packets, true
	return known && came <= trimBusy*uint64(trimLook/time.Second)
}

func apart(a, b int) int { return max(a-b, b-a) }

// trimMemory gives back what the relay's conns do not need any more, until it stops.
func (d *Daemon) trimMemory() {
	if !d.options.Service {
		return // the memory is not ours alone
	}
	d.running.Go(func() {
		trimmer := memoryTrimmer{conns: d.connections, packets: d.packets}
		trimmer.run(d.beside)
	})
}

func (d *Daemon) connections() int { return d.edge.Conns() + d.edge.Snapshot().Pending }

// packets returns how many packets the relay has received.
func (d *Daemon) packets() uint64 {
	received := d.relay.Counters().Received
	return received.Disco.Packets + received.Other.Packets
}
