package front

import (
	"log/slog"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
)

// OpenSource opens the source of the TLS mode; nil without TLS. The state directory is
// of the kind of servers that sub says. A server that is running does not begin to show
// a certificate that is out of date.
func OpenSource(cfg config.Config, sub string, running bool, log *slog.Logger) (certs.Source, error) {
	switch cfg.TLS.Mode {
	case config.TLSFiles:
		return certs.OpenFiles(certs.FilesConfig{CertFile: cfg.TLS.Cert, KeyFile: cfg.TLS.Key, Host: cfg.Hostname, Logger: log, Valid: running})
	case config.TLSSelf:
		dir, err := StateDir(cfg.StateDir, sub)
		if err != nil {
			return nil, err
		}
		return certs.OpenSelf(certs.SelfConfig{Host: cfg.Hostname, StateDir: dir, Logger: log})
	}
	return nil, nil
}
