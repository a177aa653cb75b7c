package daemon

import (
	"runtime"
	"testing"

	"github.com/detour-relay/detour/internal/config"
)

// A relay with loops relays, also through a reload, and gives Go's processors back.
func TestLoops(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Run("relay", func(t *testing.T) {
		c := plain()
		c.Poller = config.PollerLoops
		r := startRunning(t, c, Options{})
		if now := runtime.GOMAXPROCS(0); now != before+1 {
			t.Errorf("%d processors, want %d and one", now, before)
		}
		r.wantUndisturbed(t)
		r.change(t, func(c *config.Config) { c.Log.Level = "debug" })
		r.wantUndisturbed(t)
	})
	if now := runtime.GOMAXPROCS(0); now != before {
		t.Errorf("%d processors in the end, want %d", now, before)
	}
}
