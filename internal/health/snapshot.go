package health

import "time"

// A Snapshot is the health at one moment. Its JSON names are stable.
type Snapshot struct {
	Healthy   bool       `json:"healthy"`
	Reason    Reason     `json:"reason"`     // if not
	SelfCheck *SelfCheck `json:"self_check"` // nil if it is off

	// Full: it turns connections away because it has as many as it may, or did so a
	// moment ago. It works; a self-check that does not get in is not counted then.
	Full bool `json:"full"`
}

// A SelfCheck tells of the self-checks up to now. Those that the end of the relay
// cut short are not counted.
//
//	FailedTotal <= Checks, and DirectTotal <= Checks
type SelfCheck struct {
	Target string     `json:"target"`  // of the last one, or of the first that is to come
	OK     bool       `json:"ok"`      // the last one passed, or there was none yet
	At     *time.Time `json:"at"`      // when the last one began
	TookMS float64    `json:"took_ms"` // the last one
	Error  string     `json:"error"`   // why the last one failed

	Failures int `json:"failures"` // in a row, up to now

	Checks       uint64 `json:"checks"`
	FailedTotal  uint64 `json:"failed_total"`
	DirectTotal  uint64 `json:"direct_total"`  // through the direct path in the end
	OutagesTotal uint64 `json:"outages_total"` // how often they took the relay out of service
}

// Snapshot returns the health now.
func (h *Health) Snapshot() Snapshot {
	reason := h.Reason()
	s := Snapshot{Healthy: reason == None, Reason: reason, Full: h.config.Full()}
	if h.checking.Load().on() {
		h.mu.Lock()
		last := h.last
		h.mu.Unlock()
		s.SelfCheck = &last
	}
	return s
}
