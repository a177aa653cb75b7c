package coordserver

import (
	"crypto/tls"
	"slices"
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

// preSharedKey is the extension of a ClientHello that comes with a ticket (RFC 8446, 4.2.11).
const preSharedKey = 41

// withTickets lets members resume their sessions. The secrets of a resumed one come from
// the first handshake as well as from the exchange of the second. An exchange that
// withstands a quantum computer took place in the first, and need not be repeated: it
// would be a quarter of what both sides spend on a resumption. Only after the secret of
// the cluster has become another are there tickets that cannot be read.
func withTickets(secure *tls.Config) {
	secure.SessionTicketsDisabled = false
	resumed := secure.Clone()
	resumed.CurvePreferences = []tls.CurveID{tls.X25519}
	secure.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(hello.Extensions, preSharedKey) && slices.Contains(hello.SupportedCurves, tls.X25519) {
			return resumed, nil // its ticket keys are those of secure
		}
		return nil, nil
	}
}
