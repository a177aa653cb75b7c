// Package trim keeps the memory of a process that serves many connections near what
// they need. What it does is done to the whole process, so it is for one that is a
// server and nothing else (docs/decisions/0009).
package trim

import (
	"context"
	"runtime/debug"
	"time"
)

const (
	lookEvery = 5 * time.Second  // how often the number of conns is looked at
	restTime  = 30 * time.Second // at least so long between two trimmings

	// busyWork is how many packets a second make a relay too busy to be trimmed.
	busyWork = 2000

	// leastStep is the change in conns worth a trimming, and at least an eighth.
	leastStep = 64
)

// gcPercent is how far the heap of a relay may grow between collections, in
// percent. Relaying packets allocates nothing, so only logins would pay for a lower
// value than Go's 100, and Pace sees to it that they do not; and the less garbage lies between what the conns keep,
// the fewer pages are held by a few live objects each. Resident memory per idle
// TLS conn, 5,000 of them a minute after they came, lowest and highest of two to
// four runs: 14.5 to 14.8 KB at 100, 13.9 to 14.3 at 50, 13.6 to 13.8 at 25.
const gcPercent = 25

// A Trimmer gives memory back to the system after the number of conns has
// changed a lot and the relay has become quiet.
//
// A handshake needs many times the memory of the conn it leaves behind, so a
// rush of them grows the heap to a size that an idle relay neither uses nor
// collects: the collector runs when the heap has doubled, which idle conns do
// not bring about, and what it frees returns to the system only over minutes.
// Stacks that a login has grown shrink by half at a collection, hence the second
// trimming for each change.
type Trimmer struct {
	// Conns is how much memory is needed, in conns; cheap. Packets is how much has been
	// done up to now, in packets.
	Conns   func() int
	Packets func() uint64

	// Later is for what others keep for a while after a change: there is one more
	// trimming, so long after it. 0: there is none.
	Later time.Duration

	free func() // debug.FreeOSMemory, except in tests

	trimmed int       // conns at the last trimming
	left    int       // trimmings still to do for the change at hand
	changed time.Time // when that was seen last
	owed    bool      // the one that comes later
	last    time.Time // of the last trimming
	seen    int       // conns at the last look
	watched bool      // counted holds the packets at the last look
	counted uint64
}

// Run trims until ctx is done.
func (m *Trimmer) Run(ctx context.Context) {
	if m.free == nil {
		m.free = debug.FreeOSMemory
	}
	ticker := time.NewTicker(lookEvery)
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
func (m *Trimmer) look(now time.Time) {
	conns := m.Conns()
	steady := apart(conns, m.seen) <= max(8, conns/100)
	m.seen = conns
	if apart(conns, m.trimmed) >= max(leastStep, m.trimmed/8) {
		m.trimmed, m.left = conns, 2
		m.changed, m.owed = now, m.Later > 0
	}
	if m.left == 0 && m.owed && now.Sub(m.changed) >= m.Later {
		m.left, m.owed = 1, false
	}
	if m.left == 0 {
		m.watched = false
		return
	}
	if quiet := m.quiet(); !quiet || !steady || now.Sub(m.last) < restTime {
		return
	}
	m.free()
	m.trimmed, m.last = conns, now
	m.left--
}

// quiet reports whether few packets came since the last look. The first look
// only counts.
func (m *Trimmer) quiet() bool {
	packets := m.Packets()
	came := packets - m.counted
	known := m.watched
	m.counted, m.watched = packets, true
	return known && came <= busyWork*uint64(lookEvery/time.Second)
}

func apart(a, b int) int { return max(a-b, b-a) }
