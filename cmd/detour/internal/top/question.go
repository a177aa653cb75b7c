package top

import (
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/who"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// A question stands before what changes the relay.
type question struct {
	what  action
	about key.Public
}

type action int

const (
	closing action = iota
	banning
)

// done is what became of an order.
type done struct{ text string }

func (q *question) String() string {
	if q.what == closing {
		return "Close the connections of " + shortOf(q.about) + "? It is free to come back.  y: yes, n: no"
	}
	return "Ban " + shortOf(q.about) + "?  y: until it is unbanned, h: for an hour, d: for a day, n: no"
}

// shortOf is how lists have the key. All of it stands in the details.
func shortOf(k key.Public) string { return who.ShortKey(&who.Row{PeerState: relay.PeerState{Peer: k}}) }

// begin asks, if there is whom to ask about.
func (s *screen) begin(what action) {
	switch row := s.target(); {
	case s.c.Close == nil:
		s.said = "this address only tells: who asks at the admin socket may close and ban"
	case row != nil:
		s.question = &question{what, row.Peer}
	}
}

// answer follows the order, or does not.
func (s *screen) answer(m tea.KeyPressMsg) tea.Cmd {
	q := s.question
	s.question = nil
	during := time.Duration(0)
	switch pressed := m.String(); {
	case pressed == "y":
	case pressed == "h" && q.what == banning:
		during = time.Hour
	case pressed == "d" && q.what == banning:
		during = 24 * time.Hour
	default:
		s.said = "nothing was done"
		return nil
	}
	return func() tea.Msg {
		var text string
		var err error
		if q.what == closing {
			text, err = s.c.Close(s.ctx, q.about)
		} else {
			text, err = s.c.Ban(s.ctx, q.about, during)
		}
		if err != nil {
			text = err.Error()
		}
		return done{cli.Clean(text, 300)}
	}
}
