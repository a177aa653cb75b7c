package daemon

// A Phase is what a relay is doing. It only moves forward.
type Phase string

// The phases, in their order.
const (
	Opened   Phase = "opened"   // it has all it needs, and answers nobody yet
	Serving  Phase = "serving"  // peers come and go
	Draining Phase = "draining" // peers are sent elsewhere
	Stopped  Phase = "stopped"  // nobody is left
)

var order = map[Phase]int{"": 0, Opened: 0, Serving: 1, Draining: 2, Stopped: 3}

// enter moves the relay forward, and returns the phase it was in. Where it was there
// already or further on, nothing changes.
func (d *Daemon) enter(next Phase) (before Phase) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before = d.phaseLocked()
	if order[next] > order[before] {
		d.phase = next
	}
	return before
}

func (d *Daemon) phaseLocked() Phase {
	if d.phase == "" {
		return Opened
	}
	return d.phase
}
