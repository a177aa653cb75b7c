package setup

import (
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/smallfile"
)

// Secrets are the files that nobody but the relay should read, and that others can. The
// relay's own keys are looked at elsewhere.
func Secrets(cfg config.Config) (found []daemon.Finding) {
	for _, f := range []struct{ setting, path string }{
		{"tls.key", cfg.TLS.Key}, {"acme.eab-key", cfg.ACME.EABKey}, {"access.verify-headers", cfg.Access.VerifyHeaders},
		{"access.coordinator-token", cfg.Access.CoordinatorToken}, {"admin-token", cfg.AdminToken}, {"metrics-token", cfg.MetricsToken},
	} {
		if f.path != "" && smallfile.OpenToOthers(f.path) {
			found = append(found, finding(daemon.Noted, f.setting, "%s is a secret, and every user of this machine can read it: chmod o= it", f.path))
		}
	}
	return found
}
