package wgproxy

import (
	"net/netip"

	"github.com/detour-relay/detour/key"
)

// An entry is what became of the endpoint of one peer.
type entry struct {
	Given  netip.AddrPort `json:"given"`           // by us
	Before netip.AddrPort `json:"before,omitzero"` // what the peer gets back; not valid: it had none
}

// A ledger has the peers whose endpoints were set.
type ledger map[key.Public]entry

// A move is an endpoint that somebody else has set, or WireGuard has learnt.
type move struct {
	peer key.Public
	to   netip.AddrPort
}

// plan compares what the device has with the stand-ins that its peers are to have, and
// takes into the ledger what has to be set for that. A move is told once, not each time
// that the peer goes there again.
func (l ledger) plan(found, wanted map[key.Public]netip.AddrPort) (set map[key.Public]netip.AddrPort, moves []move) {
	set = make(map[key.Public]netip.AddrPort)
	for k := range l {
		if _, there := found[k]; !there {
			delete(l, k)
		}
	}
	for k, own := range wanted {
		at, there := found[k]
		before, given := l[k]
		switch {
		case !there || at == own && given && before.Given == own:
			continue
		case !given:
			l[k] = entry{own, at}
		case at == before.Given: // the stand-in is another one now
			l[k] = entry{own, before.Before}
		default:
			if at != before.Before {
				moves = append(moves, move{k, at})
			}
			l[k] = entry{own, at}
		}
		set[k] = own
	}
	return set, moves
}

// undo is what has to be set so that the peers have what they had, and what is left of
// the ledger then: peers that had nothing keep what they were given.
func (l ledger) undo(found map[key.Public]netip.AddrPort) (set map[key.Public]netip.AddrPort, left ledger) {
	set, left = make(map[key.Public]netip.AddrPort), make(ledger)
	for k, e := range l {
		switch at, there := found[k]; {
		case !there || at != e.Given: // it is what somebody wants
		case e.Before.IsValid():
			set[k] = e.Before
		default:
			left[k] = e
		}
	}
	return set, left
}
