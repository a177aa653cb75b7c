package hitters

import (
	"net/netip"
	"time"

	"github.com/detour-relay/detour/key"
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

// longestList is how many a list has at most.
const longestList = 20

// window puts together what a window consists of.
func window(name string, pieces []*part, at time.Duration) Window {
	var all tally
	from := at
	for _, p := range pieces {
		all.merge(p)
		from = min(from, p.from)
	}
	return Window{
		Name: name, Seconds: (at - from).Seconds(), Total: all.total,
		Keys:     list(&all.keys, key.Public.String),
		Networks: list(&all.networks, networkName),
		Apps:     list(&all.apps, func(name string) string { return name }),
		Labels:   list(&all.labels, func(name string) string { return name }),
	}
}

func networkName(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

func list[N comparable](s *summary[N], name func(N) string) List {
	all := s.finish()
	l := List{Top: []Hitter{}, Unlisted: all.floor}
	for i, e := range all.entries {
		if i < longestList {
			l.Top = append(l.Top, Hitter{name(e.name), e.Use, e.missed})
		} else {
			l.Unlisted = max(l.Unlisted, e.most())
		}
	}
	return l
}
