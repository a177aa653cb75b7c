package coordserver

import (
	"time"

	"github.com/detour-relay/detour/internal/retry"
)

// ticketLook is how often the keys of TLS tickets are looked at, which change each day.
const ticketLook = time.Hour

// useTickets has members resume their TLS sessions. All of them come at once when a
// coordinator is back, and handshakes from nothing are most of what that costs; so the
// keys are the cluster's, which outlive this process. It reports whether they are known.
func (s *Server) useTickets() bool {
	e := s.opened()
	if e == nil {
		return false
	}
	keys, err := e.service.TicketKeys(time.Now())
	if err == nil {
		s.secure.SetSessionTicketKeys(keys)
	}
	return err == nil
}

// keepTickets goes on from there until all ends.
func (s *Server) keepTickets(known bool) {
	for {
		wait := ticketLook
		if !known {
			wait = time.Second
		}
		if !retry.Rest(s.beside, wait, nil) {
			return
		}
		known = s.useTickets()
	}
}
