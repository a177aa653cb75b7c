// Package interop runs Tailscale's published code against ours, both ways and over loopback only: their clients against
// `detour relay`, our client against their relay, in a library and as the program derper. Below are packages for real nodes with
// real traffic (tailnet), the choice of a home (netcheck), the reference's prober (prober) and broken regions (failure).
//
// Everything waits for what must come, never for time to pass, and gives up after patience.
package interop

import (
	"os"
	"testing"
	"time"

	"github.com/detour-relay/detour/test/interop/programs"
)

// patience is how long anything that must happen may take. It is far above what a loaded machine with two cores needs.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	status := m.Run()
	programs.Clean()
	os.Exit(status)
}
