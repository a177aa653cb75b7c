package front

import "sync"

// A Phase is what a server is doing. It only moves forward.
type Phase string

// The phases, in their order.
const (
	Opened   Phase = "opened"   // it has all it needs, and answers nobody yet
	Serving  Phase = "serving"  // others come and go
	Draining Phase = "draining" // they are sent elsewhere
	Stopped  Phase = "stopped"  // nobody is left
)

var order = map[Phase]int{Opened: 0, Serving: 1, Draining: 2, Stopped: 3}

// Reached reports whether it is another phase, or further on.
func (p Phase) Reached(other Phase) bool { return order[p] >= order[other] }

// A Life is the phase of one server. The zero value is Opened.
type Life struct {
	mu    sync.Mutex
	phase Phase
}

// Enter moves forward, and returns the phase before. Where that was reached already,
// nothing changes.
func (l *Life) Enter(next Phase) (before Phase) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before = l.phaseLocked()
	if !before.Reached(next) {
		l.phase = next
	}
	return before
}

// Phase is the present one.
func (l *Life) Phase() Phase {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.phaseLocked()
}

func (l *Life) phaseLocked() Phase {
	if l.phase == "" {
		return Opened
	}
	return l.phase
}
