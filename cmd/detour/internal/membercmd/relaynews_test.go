package membercmd

import (
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
)

// Where a machine is at home is told once, and that it has no relay when that lasts.
func TestRelayNews(t *testing.T) {
	var news relayNews
	now := time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC)
	home := func(region int) client.HostState {
		return client.HostState{Connected: true, Home: client.Home{Region: region, Reason: "near"}}
	}
	away := client.HostState{Home: client.Home{Region: 901}}
	var told []string
	for _, step := range []struct {
		after   time.Duration
		state   client.HostState
		problem string
	}{
		{0, client.HostState{}, ""},
		{10 * time.Second, client.HostState{}, ""}, // nobody knows why
		{time.Second, client.HostState{}, "re\x1bfused"},
		{time.Minute, client.HostState{}, "refused"},
		{time.Second, home(901), ""},
		{time.Second, home(901), ""},
		{time.Second, away, "restarts"},
		{time.Second, home(901), ""}, // soon enough
		{time.Second, home(902), ""},
		{time.Second, away, "gone"},
		{relayPatience, away, "gone"},
		{time.Second, home(902), ""}, // back
	} {
		now = now.Add(step.after)
		if l, text := news.take(step.state, step.problem, now); l.Event != "" {
			told = append(told, l.Event+": "+text)
		}
	}
	want := []string{
		"no-relay: no relay, so that nothing flows: re?fused", "home: home 901 (near)", "home: home 902 (near)",
		"no-relay: no relay, so that nothing flows: gone", "home: home 902 (near)",
	}
	if !slices.Equal(told, want) {
		t.Errorf("%q", told)
	}
}
