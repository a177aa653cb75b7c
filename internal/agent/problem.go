package agent

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

// problemOf is what a person should hear of first.
func (a *Agent) problemOf(m tailnet.State, h client.HostState) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	relay, clock := relayProblem(h, a.member.PrivateKey().Public()), clockProblem(a.last, time.Now())
	switch {
	case a.problem != "":
		return a.problem
	case m.Conflict:
		return "another machine is this member, too, with a copy of the state file"
	case m.Err != nil:
		return m.Err.Error()
	case relay != "":
		return relay
	case clock != "":
		return clock
	case m.SaveErr != nil:
		return "after a restart this machine knows less: " + m.SaveErr.Error()
	}
	return ""
}

// RelayProblem says why there is no relay; empty: there is one, or nothing is known yet.
func (a *Agent) RelayProblem() string {
	return relayProblem(a.bind.Host().State(), a.member.PrivateKey().Public())
}

func relayProblem(h client.HostState, own key.Public) string {
	if h.Connected {
		return ""
	}
	for _, r := range h.Regions {
		switch {
		case errors.Is(r.Err, client.ErrAdmissionRefused):
			return fmt.Sprintf("the relay of region %d does not let this machine in: have its operator do it (there: detour access allow %v), or have it ask the coordinator (access.coordinator)", r.ID, own)
		case r.Err != nil:
			return fmt.Sprintf("relay of region %d: %v", r.ID, r.Err)
		}
	}
	return ""
}

// clockSlack is how far clocks of file systems may be off.
const clockSlack = 10 * time.Second

// lastRun is when a state file was written last; zero: nobody knows.
func lastRun(stateFile string) time.Time {
	info, err := os.Stat(stateFile)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// clockProblem is what is to be said where the last run was later than now: WireGuard
// answers no handshake that is older than one that came before. Empty: it was earlier.
func clockProblem(last, now time.Time) string {
	if !last.After(now.Add(clockSlack)) {
		return ""
	}
	const form = "2006-01-02 15:04 UTC"
	return fmt.Sprintf("the clock of this machine is behind: it says %s, and the last run was at %s: set it right, since others may answer nothing before that time",
		now.UTC().Format(form), last.UTC().Format(form))
}
