//go:build !unix

package daemon

import (
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/config"
)

// chaosSettings is for processes that take over, which there are none of here.
const chaosSettings = "DETOUR_CHAOS_SETTINGS"

func nearProcess(string) error { return nil }

// A chaosNear is the near relay, which nobody takes over.
type chaosNear struct {
	place
	relay *Daemon
}

func startNear(t *testing.T, settings config.Config) *chaosNear {
	t.Helper()
	relay := open(t, settings, Options{})
	run(t, relay)
	return &chaosNear{placeOf(relay), relay}
}

func (*chaosNear) takeOver(*testing.T) { time.Sleep(100 * time.Millisecond) }

func (n *chaosNear) end(*testing.T) []chaosEnd { return []chaosEnd{endOf(n.relay)} }
