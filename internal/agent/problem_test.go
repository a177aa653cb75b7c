package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
)

// Why there is no relay is told with what helps, and nothing while there is one.
func TestRelayProblem(t *testing.T) {
	own := key.NewPrivate().Public()
	region := func(err error) client.HostRegionState {
		r := client.HostRegionState{ID: 901}
		r.Err = err
		return r
	}
	refused := fmt.Errorf("relay: %w: EOF", client.ErrAdmissionRefused)
	for want, h := range map[string]client.HostState{
		"": {Connected: true, Regions: []client.HostRegionState{region(refused)}},
		"the relay of region 901 does not let this machine in: have its operator do it (there: detour access allow " + own.String() + ")": {Regions: []client.HostRegionState{region(nil), region(refused)}},
		"relay of region 901: no route": {Regions: []client.HostRegionState{region(errors.New("no route"))}},
	} {
		if got := relayProblem(h, own); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A clock that is behind the last run is told until it is not any more.
func TestClockProblem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	now := time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC)
	if last := lastRun(file); !last.IsZero() || clockProblem(last, now) != "" {
		t.Errorf("without a file: %v", last)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for ahead, want := range map[time.Duration]bool{-time.Hour: false, time.Second: false, time.Hour: true} {
		if err := os.Chtimes(file, now, now.Add(ahead)); err != nil {
			t.Fatal(err)
		}
		got := clockProblem(lastRun(file), now)
		if (got != "") != want || want && !strings.Contains(got, "it says 2026-11-29 01:02 UTC, and the last run was at 2026-11-29 02:02 UTC") {
			t.Errorf("%v ahead: %q", ahead, got)
		}
	}
}
