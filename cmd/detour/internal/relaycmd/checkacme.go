package relaycmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/acme"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/setup"
)

// checkIssued looks at what an authority would look at, and at what it has issued; nil:
// the certificate is none of an authority. Tries that cannot succeed are counted there.
func checkIssued(ctx context.Context, given config.Config, world setup.World) []daemon.Finding {
	cfg, err := daemon.Complete(given, nil)
	if err != nil || cfg.TLS.Mode != config.TLSACME {
		return nil
	}
	return append(world.Host(ctx, cfg), world.Issuer(ctx, cfg), checkStored(cfg))
}

// checkStored tells of the certificate that there is.
func checkStored(cfg config.Config) daemon.Finding {
	say := func(level daemon.Level, format string, args ...any) daemon.Finding {
		return daemon.Finding{Level: level, Err: &config.Error{Setting: "tls.mode", What: "acme: " + fmt.Sprintf(format, args...)}}
	}
	dir, err := front.Storage(cfg, "")
	if err != nil {
		return say(daemon.Noted, "where certificates are kept is not known: %v", err)
	}
	d, err := acme.Stored(cfg, dir)
	names, until := strings.Join(d.Names, ", "), d.Until.Format(time.DateOnly)
	switch {
	case err != nil:
		return say(daemon.Noted, "what is kept in %s was not looked at: %v", dir, err)
	case d.Missing != "" && d.Failed != "":
		return say(daemon.Noted, "there is no certificate: %s", d.Missing)
	case d.Missing != "":
		return say(daemon.Noted, "there is no certificate yet: it is issued once the relay runs")
	case time.Now().After(d.Until):
		return say(daemon.Noted, "the certificate for %s has expired on %s: %s", names, until, d.Failed)
	case d.Failed != "":
		return say(daemon.Noted, "the certificate for %s is valid until %s, and could not be renewed: %s", names, until, d.Failed)
	}
	return say(daemon.Fine, "the certificate for %s is valid until %s", names, until)
}
