package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"
)

const (
	tidyLook = 5 * time.Second  // how often the number of conns is looked at
	tidyRest = 30 * time.Second // at least so long between two tidyings

	// tidyBusy is how many packets a second make a relay too busy to be tidied.
	tidyBusy = 2000

	// tidyStep is the change in conns worth a tidying, and at least an eighth.
	tidyStep = 64
)

// relayGCPercent is how far the heap of a relay may grow between collections, in
// percent. Relaying packets allocates nothing, so only logins pay for a lower
// value than Go's 100; and the less garbage lies between what the conns keep,
// the fewer pages are held by a few live objects each. Resident memory per idle
// TLS conn, 5,000 of them a minute after they came, lowest and highest of two to
// four runs: 14.5 to 14.8 KB at 100, 13.9 to 14.3 at 50, 13.6 to 13.8 at 25. The
// CPU time of their logins differed less than between runs (1.5 to 2 ms each).
const relayGCPercent = 25

// setGCPercent chooses the collector's pace, unless the environment does.
func setGCPercent() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(relayGCPercent)
	}
}

// A memoryTidier gives memory back to the system after the number of conns has
// changed a lot and the relay has become quiet.
//
// A handshake needs many times the memory of the conn it leaves behind, so a
// rush of them grows the heap to a size that an idle relay neither uses nor
// collects: the collector runs when the heap has doubled, which idle conns do
// not bring about, and what it frees returns to the system only over minutes.
// Stacks that a login has grown shrink by half at a collection, hence the second
// tidying for each change.
type memoryTidier struct {
	conns   func() int    // how many there are; cheap
	packets func() uint64 // how many came in so far; not cheap
	free    func()        // debug.FreeOSMemory, except in tests

	tidied  int       // conns at the last tidying
	left    int       // tidyings still to do for the change at hand
	last    time.Time // of the last tidying
	seen    int       // conns at the last look
	watched bool      // counted holds the packets at the last look
	counted uint64
}

// run tidies until ctx is done.
func (m *memoryTidier) run(ctx context.Context) {
	if m.free == nil {
		m.free = debug.FreeOSMemory
	}
	ticker := time.NewTicker(tidyLook)
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

// look tidies if it is worth it and harms nobody.
func (m *memoryTidier) look(now time.Time) {
	conns := m.conns()
	steady := apart(conns, m.seen) <= max(8, conns/100)
	m.seen = conns
	if apart(conns, m.tidied) >= max(tidyStep, m.tidied/8) {
		m.tidied, m.left = conns, 2
	}
	if m.left == 0 {
		m.watched = false
		return
	}
	if quiet := m.quiet(); !quiet || !steady || now.Sub(m.last) < tidyRest {
		return
	}
	m.free()
	m.tidied, m.last = conns, now
	m.left--
}

// quiet reports whether few packets came since the last look. The first look
// only counts.
func (m *memoryTidier) quiet() bool {
	packets := m.packets()
	came := packets - m.counted
	known := m.watched
	m.counted, m.watched = packets, true
	return known && came <= tidyBusy*uint64(tidyLook/time.Second)
}

func apart(a, b int) int { return max(a-b, b-a) }
