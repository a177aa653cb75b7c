// Package netcheck compares how Tailscale's code and ours measure regions and choose a home.
//
// In simulated time (sim_test.go) both measure the same network at the same moments, report after report; every probe that they
// send, every latency that they find and every home that they choose must be the same, to the nanosecond. That their code finds
// our real relays is shown over loopback (relays_test.go).
package netcheck

import (
	"os"
	"testing"

	"github.com/detour-relay/detour/test/interop/programs"
)

func TestMain(m *testing.M) {
	status := m.Run()
	programs.Clean()
	os.Exit(status)
}
