package hitters

import (
	"time"

	"github.com/detour-relay/detour/relay"
)

// A Snapshot is the heavy hitters as they were when the relay was last looked at. Its JSON
// names are stable.
type Snapshot struct {
	At      time.Time `json:"at"`      // of that look
	Windows []Window  `json:"windows"` // the last minute, hour and day, in this order
}

// A Window is what was relayed lately. It begins where a part of it began that was counted
// on its own, so it may be a twelfth longer than its name says, and is shorter as long as the
// relay has not run for so long.
type Window struct {
	Name    string  `json:"name"`    // minute, hour, day
	Seconds float64 `json:"seconds"` // how long it is
	Total   Use     `json:"total"`   // of all peers, listed or not

	Keys     List `json:"keys"`
	Networks List `json:"networks"` // /24 and /48 of the real addresses; empty: unknown
	Apps     List `json:"apps"`     // what peers call their programs; empty: nothing
	Labels   List `json:"labels"`   // see relay.Admission.Group; empty: none
}

// A List has those who used most, the heaviest first.
type List struct {
	Top []Hitter `json:"top"`

	// Unlisted is how many bytes anybody who is not in the list can have used at most.
	Unlisted uint64 `json:"unlisted"`
}

// A Hitter is one of a list. It is text as peers or operators have chosen it: whoever
// shows it has to make it harmless.
type Hitter struct {
	Name string `json:"name"`
	Use

	// Missed is how many bytes it can have used besides those that are shown. 0: what is
	// shown is exact.
	Missed uint64 `json:"missed"`
}

// A Use is what peers sent to the relay and got from it. A packet between two peers of the
// relay is used by both.
type Use struct {
	Received relay.Traffic `json:"received"` // from them
	Sent     relay.Traffic `json:"sent"`     // to them
}

// Bytes returns all bytes of a use.
func (u Use) Bytes() uint64 { return u.Received.Bytes + u.Sent.Bytes }

// Packets returns all packets of a use.
func (u Use) Packets() uint64 { return u.Received.Packets + u.Sent.Packets }
