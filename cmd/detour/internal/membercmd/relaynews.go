package membercmd

import (
	"context"
	"fmt"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
)

const (
	// relayPatience is how long there may be no relay before people hear of it: a planned
	// restart takes less.
	relayPatience = 3 * time.Second
	// relayLook is how often it is looked at whether there is one.
	relayLook = time.Second
)

// relayNews tells people where a machine is at home, and why it has no relay if that
// lasts.
type relayNews struct {
	home  int
	told  bool // that there is none
	since time.Time
}

// take returns what is new; an Event of "": nothing.
func (n *relayNews) take(s client.HostState, problem string, now time.Time) (l line, text string) {
	switch {
	case s.Connected && (n.told || s.Home.Region != n.home):
		n.home, n.told, n.since = s.Home.Region, false, time.Time{}
		return line{Event: "home", Home: n.home, Reason: s.Home.Reason}, fmt.Sprintf("home %d (%s)", n.home, s.Home.Reason)
	case s.Connected:
		n.since = time.Time{}
	case n.since.IsZero():
		n.since = now
	case !n.told && problem != "" && now.Sub(n.since) >= relayPatience:
		n.told = true
		reason := cli.Clean(problem, mostReason)
		return line{Event: "no-relay", Reason: reason}, "no relay, so that nothing flows: " + reason
	}
	return l, ""
}

// tellRelay prints what relayNews has to tell until ctx ends.
func (t *tunnel) tellRelay(ctx context.Context) {
	var news relayNews
	look := time.NewTicker(relayLook)
	defer look.Stop()
	for {
		if l, text := news.take(t.agent.Host().State(), t.agent.RelayProblem(), time.Now()); l.Event != "" {
			t.p.print(l, stamp(text))
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}
