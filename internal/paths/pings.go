package paths

import (
	"net/netip"
	"time"

	"github.com/detour-relay/detour/internal/disco"
)

// pongTime is for how long a ping can be answered.
const pongTime = 5 * time.Second

// A ping of ours that has no answer yet. One that was never made has no address.
type ping struct {
	tx   disco.TxID
	to   netip.AddrPort
	at   time.Duration
	full bool
}

// pings are the last of ours; the oldest gives way.
type pings struct {
	ring [64]ping
	next int
}

func (ps *pings) add(p ping) {
	ps.ring[ps.next] = p
	ps.next = (ps.next + 1) % len(ps.ring)
}

// take takes out the ping that a pong answers.
func (ps *pings) take(now time.Duration, tx disco.TxID, from netip.AddrPort) (p ping, ok bool) {
	for i := range ps.ring {
		if p = ps.ring[i]; p.to == from && p.tx == tx && now-p.at <= pongTime {
			ps.ring[i] = ping{}
			return p, p.to.IsValid()
		}
	}
	return ping{}, false
}

// seen are the last pings of the peer, so that none counts twice.
type seen struct {
	ring [64]disco.TxID
	n    int
}

// isNew reports whether a ping comes for the first time, and remembers it.
func (s *seen) isNew(tx disco.TxID) bool {
	for i := range min(s.n, len(s.ring)) {
		if s.ring[i] == tx {
			return false
		}
	}
	s.ring[s.n%len(s.ring)] = tx
	s.n++
	return true
}
