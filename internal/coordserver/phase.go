package coordserver

// A Phase is what a coordinator is doing. It only moves forward.
type Phase string

// The phases, in their order.
const (
	Opened   Phase = "opened"   // it has all it needs, and answers nobody yet
	Serving  Phase = "serving"  // members come and go
	Draining Phase = "draining" // members are sent to other coordinators
	Stopped  Phase = "stopped"  // nobody is left
)

var order = map[Phase]int{"": 0, Opened: 0, Serving: 1, Draining: 2, Stopped: 3}

// enter moves the coordinator forward, and returns the phase it was in. Where it was
// there already or further on, nothing changes.
func (s *Server) enter(next Phase) (before Phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.phaseLocked()
	if order[next] > order[before] {
		s.phase = next
	}
	return before
}

func (s *Server) phaseLocked() Phase {
	if s.phase == "" {
		return Opened
	}
	return s.phase
}
