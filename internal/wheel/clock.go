package wheel

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Clock counts ticks and does something at each, on one goroutine.
type Clock struct {
	// Set once.
	every time.Duration
	turn  func()

	begun sync.Once
	over  sync.Once
	quit  chan struct{}
	ended sync.WaitGroup
	count atomic.Uint32
}

// NewClock returns a clock that stands still until Start.
func NewClock(every time.Duration, turn func()) *Clock {
	c := &Clock{every: every, turn: turn, quit: make(chan struct{})}
	c.count.Store(1)
	return c
}

// Now returns the number of the tick, from 1. What is measured in ticks instead of
// by the time goes on where it was after the process was stopped for a while.
func (c *Clock) Now() uint32 { return c.count.Load() }

// Start sets the clock going. Later calls have no effect.
func (c *Clock) Start() {
	c.begun.Do(func() {
		c.ended.Add(1)
		go c.run()
	})
}

// Stop ends the clock and waits for the turn under way.
func (c *Clock) Stop() {
	c.over.Do(func() { close(c.quit) })
	c.ended.Wait()
}

func (c *Clock) run() {
	defer c.ended.Done()
	every := time.NewTicker(c.every)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			c.count.Add(1)
			c.turn()
		case <-c.quit:
			return
		}
	}
}
