package agent

import (
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
)

// Of two handshakes that cross one counts, the same at both ends.
func TestHandshakesThatCross(t *testing.T) {
	one, other := key.NewPrivate().Public(), key.NewPrivate().Public()
	if one.Compare(other) > 0 {
		one, other = other, one
	}
	now := time.Now()
	for _, c := range []struct {
		what      string
		own, peer key.Public
		ours      *trip
		want      bool
	}{
		{"ours counts", one, other, &trip{sent: now}, true},
		{"theirs counts", other, one, &trip{sent: now}, false},
		{"there is none of ours", one, other, nil, false},
		{"ours is answered", one, other, &trip{}, false},
		{"ours was not heard", one, other, &trip{sent: now.Add(-crossTime)}, false},
	} {
		handshakes := newTrips(nil, c.own)
		if c.ours != nil {
			handshakes.peers[c.peer] = c.ours
		}
		if got := handshakes.crosses(c.peer, now); got != c.want {
			t.Errorf("%s: theirs is kept back: %v", c.what, got)
		}
	}
}
