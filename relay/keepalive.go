package relay

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
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

// The keep-alive wheel sends each conn its KeepAlive, asks for its round trip and closes
// those whose admission has ended.
type keepAliveWheel struct {
	// Set once.
	*wheel.Wheel[conn]
	server *Server
	frame  []byte       // a KeepAlive
	period atomic.Int32 // Config.KeepAlive in ticks; 0: none are sent
}

// keepAliveJitter is drawn afresh each time, so that conns that came together
// do not stay together (spec 5.5).
const keepAliveJitter = int(5 * time.Second / tick)

func (w *keepAliveWheel) init(s *Server) {
	w.Wheel = wheel.New(func(c *conn) *wheel.Entry[conn] { return &c.wheel }, w.ahead)
	w.server = s
	w.frame = derp.AppendKeepAlive(nil)
	w.period.Store(int32(max(0, inTicks(s.cfg.KeepAlive))))
}

// Retime has other values of Config.KeepAlive and Config.WriteTimeout count from now
// on, also for the conns that there are.
func (s *Server) Retime(keepAlive, writeTimeout time.Duration) error {
	next := Config{Key: s.cfg.Key, KeepAlive: keepAlive, WriteTimeout: writeTimeout}
	if err := next.complete(); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	s.writeTimeout.Store(int64(next.WriteTimeout))
	if period := int32(max(0, inTicks(next.KeepAlive))); s.wheel.period.Swap(period) != period {
		for c := range s.routes.all {
			s.wheel.Hasten(c)
		}
	}
	return nil
}

// sendDue turns the wheel and looks at the conns whose turn it is.
func (w *keepAliveWheel) sendDue() {
	w.Turn()
	for c := w.Due(); c != nil; c = w.Due() {
		c.noteRoundTrip()
		switch {
		case c.expired():
			c.close(ErrExpired)
		case w.period.Load() > 0 && c.out.pushControl(w.frame, c.controlLimit()):
			w.server.count.keepAlives.Add(1)
			c.out.flush(nil, c.out.page)
		}
	}
}

// ahead returns after how many ticks c is to be looked at. No period is more than
// the wheel can wait.
func (w *keepAliveWheel) ahead(c *conn) int {
	ticks := wheel.Farthest
	if period := int(w.period.Load()); period > 0 {
		ticks = period + rand.IntN(keepAliveJitter)
	}
	if c.until != 0 {
		left := time.Until(time.UnixMilli(c.until))
		ticks = min(ticks, inTicks(min(max(left, 0), wheel.Farthest*tick)))
	}
	return ticks
}
