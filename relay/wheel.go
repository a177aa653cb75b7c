package relay

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/detour-relay/detour/derp"
)

// The keep-alive wheel sends each conn its KeepAlive and closes those whose
// admission has ended. Conns wait in the slots of a wheel that turns by one slot
// a tick.
type keepAliveWheel struct {
	server *Server // set once
	frame  []byte  // set once: a KeepAlive
	period int     // set once: Config.KeepAlive in ticks; 0: none are sent

	mu    sync.Mutex
	slots [wheelSlots]*conn // guarded by mu: lists of conns
	now   uint32            // guarded by mu: the number of the current tick
}

const (
	wheelSlots = 256

	// farthestLook is how far ahead a conn may wait. It is more than any period, and
	// less than a turn of the wheel.
	farthestLook = wheelSlots - 2

	// keepAliveJitter is drawn afresh each time, so that conns that came together
	// do not stay together (spec 5.5).
	keepAliveJitter = int(5 * time.Second / tick)
)

// A wheelEntry is a conn's place in the wheel. Guarded by keepAliveWheel.mu.
type wheelEntry struct {
	next, prev *conn
	at         uint32 // the tick at which the conn is looked at; 0: it is not in the wheel
}

func (w *keepAliveWheel) init(s *Server) {
	w.server = s
	w.frame = derp.AppendKeepAlive(nil)
	w.period = max(0, inTicks(s.cfg.KeepAlive))
	w.now = 1
}

// inTicks returns how many ticks last as long as d at least.
func inTicks(d time.Duration) int { return int((d + tick - 1) / tick) }

// sendDue turns the wheel and looks at the conns whose turn it is.
func (w *keepAliveWheel) sendDue() {
	w.mu.Lock()
	w.now++
	w.mu.Unlock()
	for c := w.due(); c != nil; c = w.due() {
		switch {
		case c.expired():
			c.close(ErrExpired)
		case w.period > 0 && c.out.pushControl(w.frame, c.controlLimit()):
			w.server.count.keepAlives.Add(1)
			c.out.flush()
		}
	}
}

// due moves one conn of the current slot to the slot of its next look.
func (w *keepAliveWheel) due() *conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.slots[w.now%wheelSlots]
	if c != nil {
		w.unlinkLocked(c)
		w.linkLocked(c)
	}
	return c
}

// add puts c in, unless there is nothing ever to do for it.
func (w *keepAliveWheel) add(c *conn) {
	if w.period == 0 && c.until == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.linkLocked(c)
}

func (w *keepAliveWheel) remove(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlinkLocked(c)
}

// ahead returns after how many ticks c is to be looked at.
func (w *keepAliveWheel) ahead(c *conn) int {
	ticks := farthestLook
	if w.period > 0 {
		ticks = w.period + rand.IntN(keepAliveJitter)
	}
	if c.until != 0 {
		left := time.Until(time.UnixMilli(c.until))
		ticks = min(ticks, inTicks(min(max(left, 0), farthestLook*tick)))
	}
	return ticks
}

func (w *keepAliveWheel) linkLocked(c *conn) {
	at := w.now + 1 + uint32(w.ahead(c)) // the current tick has begun already, so it does not count
	head := w.slots[at%wheelSlots]
	c.wheel = wheelEntry{next: head, at: at}
	if head != nil {
		head.wheel.prev = c
	}
	w.slots[at%wheelSlots] = c
}

func (w *keepAliveWheel) unlinkLocked(c *conn) {
	e := &c.wheel
	if e.at == 0 {
		return
	}
	if e.prev != nil {
		e.prev.wheel.next = e.next
	} else {
		w.slots[e.at%wheelSlots] = e.next
	}
	if e.next != nil {
		e.next.wheel.prev = e.prev
	}
	*e = wheelEntry{}
}
