package daemon

import (
	"testing"

	"github.com/detour-relay/detour/internal/config"
)

// All of 127.0.0.0/8 is this machine, which connects to it from 127.0.0.1. So the relay's
// own check may come from a proxy's address where the listener has another.
func TestOwnCheckComesFromTheProxysAddress(t *testing.T) {
	for _, trusted := range []string{"127.0.0.1", "127.0.0.3"} {
		c := secured(t)
		c.Listen, c.TrustedProxies, c.SelfCheck, c.Access.Everyone = "127.0.0.3:0", []string{trusted}, config.CheckDirect, true
		d := open(t, c, Options{})
		run(t, d)
		eventually(t, "a self-check that is well", func() bool {
			check := d.State().Health.SelfCheck
			return check.Checks > 0 && check.FailedTotal == 0
		})
	}
}
