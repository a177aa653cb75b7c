package relay

import (
	"sync"
	"sync/atomic"
	"time"
)

// tick is how often the relay looks after its conns.
const tick = 500 * time.Millisecond

// The ticker is the relay's one timer. Each tick turns the keep-alive wheel
// (wheel.go) and looks after the conns that are in the middle of something
// (sweep.go).
type ticker struct {
	server *Server // set once
	begun  sync.Once
	over   sync.Once
	quit   chan struct{}
	ended  sync.WaitGroup

	// count is the number of the tick, from 1. What is measured in ticks instead of
	// by the clock goes on where it was after the process was stopped for a while.
	count atomic.Uint32
}

func (t *ticker) init(s *Server) {
	t.server = s
	t.quit = make(chan struct{})
	t.count.Store(1)
}

// start begins with the first conn.
func (t *ticker) start() {
	t.begun.Do(func() {
		t.ended.Add(1)
		go t.run()
	})
}

func (t *ticker) stop() {
	t.over.Do(func() { close(t.quit) })
	t.ended.Wait()
}

func (t *ticker) run() {
	defer t.ended.Done()
	every := time.NewTicker(tick)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			t.count.Add(1)
			t.server.wheel.sendDue()
			t.server.sweeper.sweep()
		case <-t.quit:
			return
		}
	}
}
