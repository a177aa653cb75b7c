package relay

import (
	"math/rand/v2"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/wheel"
)

// tick is how often the relay looks after its conns.
const tick = 500 * time.Millisecond

// inTicks returns how many ticks last as long as d at least.
func inTicks(d time.Duration) int { return int((d + tick - 1) / tick) }

// everyTick is the relay's one timer: it turns the keep-alive wheel and looks after
// the conns that are in the middle of something (sweep.go).
func (s *Server) everyTick() {
	s.wheel.sendDue()
	s.sweeper.sweep()
	s.limits.Forget(s.now())
}

// The keep-alive wheel sends each conn its KeepAlive and closes those whose
// admission has ended.
type keepAliveWheel struct {
	// Set once.
	*wheel.Wheel[conn]
	server *Server
	frame  []byte // a KeepAlive
	period int    // Config.KeepAlive in ticks; 0: none are sent
}

// keepAliveJitter is drawn afresh each time, so that conns that came together
// do not stay together (spec 5.5).
const keepAliveJitter = int(5 * time.Second / tick)

func (w *keepAliveWheel) init(s *Server) {
	w.Wheel = wheel.New(func(c *conn) *wheel.Entry[conn] { return &c.wheel }, w.ahead)
	w.server = s
	w.frame = derp.AppendKeepAlive(nil)
	w.period = max(0, inTicks(s.cfg.KeepAlive))
}

// sendDue turns the wheel and looks at the conns whose turn it is.
func (w *keepAliveWheel) sendDue() {
	w.Turn()
	for c := w.Due(); c != nil; c = w.Due() {
		switch {
		case c.expired():
			c.close(ErrExpired)
		case w.period > 0 && c.out.pushControl(w.frame, c.controlLimit()):
			w.server.count.keepAlives.Add(1)
			c.out.flush()
		}
	}
}

// add puts c in, unless there is nothing ever to do for it.
func (w *keepAliveWheel) add(c *conn) {
	if w.period > 0 || c.until != 0 {
		w.Add(c)
	}
}

// ahead returns after how many ticks c is to be looked at. No period is more than
// the wheel can wait.
func (w *keepAliveWheel) ahead(c *conn) int {
	ticks := wheel.Farthest
	if w.period > 0 {
		ticks = w.period + rand.IntN(keepAliveJitter)
	}
	if c.until != 0 {
		left := time.Until(time.UnixMilli(c.until))
		ticks = min(ticks, inTicks(min(max(left, 0), wheel.Farthest*tick)))
	}
	return ticks
}
