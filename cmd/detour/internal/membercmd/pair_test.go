package membercmd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/agent/hostnet"
	"github.com/detour-relay/detour/internal/agent/pair"
	"github.com/detour-relay/detour/internal/pairing"
)

// What goes wrong with a pair is told once, with what to do, and ends with its status.
func TestPairsAreExplained(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		want   string
	}{
		{pairing.ErrToken, cli.ExitUsage, "copy it whole"},
		{pairing.ErrOwn, cli.ExitUsage, "give it to that one"},
		{pair.ErrNotPaired, cli.ExitUsage, "detour up TOKEN"},
		{pair.ErrOtherRelays, cli.ExitUsage, "--state"},
		{pair.ErrName, cli.ExitUsage, "--name"},
		{pair.ErrInUse, cli.ExitBad, "--state"},
		{pairing.ErrUsed, cli.ExitBad, "detour up --invite"},
		{pairing.ErrExpired, cli.ExitBad, "detour up --invite"},
		{pairing.ErrUnknown, cli.ExitBad, "detour up --invite"},
		{hostnet.ErrCollides, cli.ExitBad, "another key has another address"},
		{pair.ErrNoAnswer, cli.ExitUnanswered, "give a new token"},
		{errors.New("no room"), cli.ExitBad, "no room"},
	} {
		err := explainUp(explainPair(fmt.Errorf("it: %w", c.err)))
		if cli.ExitStatus(err) != c.status || !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "operator") {
			t.Errorf("%v ends with status %d, want %d and %q", err, cli.ExitStatus(err), c.status, c.want)
		}
	}
}

// The relay that is in the way is found by its region.
func TestTheRelayInTheWay(t *testing.T) {
	relays := []pairing.Relay{{Host: "a.example"}, {Host: "b.example"}}
	wrong := errors.New("no")
	for region, want := range map[int]string{901: "a.example", 902: "b.example", 903: "", 1: ""} {
		s := client.HostState{Regions: []client.HostRegionState{{ID: 901}, {ID: region, RegionState: client.RegionState{Err: wrong}}}}
		if at, why := problemOf(s, relays); at.Host != want || (why != nil) != (want != "") {
			t.Errorf("region %d: %q, %v", region, at.Host, why)
		}
	}
}
