package daemon

import (
	"fmt"
	"slices"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/front"
)

// reloadMeshKeys takes the mesh keys over that stand in the file now.
func (d *Daemon) reloadMeshKeys(from, to config.Config) (apply func(), err error) {
	keys, _, err := meshKeys(to)
	if err != nil {
		return nil, fmt.Errorf("the new mesh keys cannot be used; the old ones stay: %w", err)
	}
	if to.Mesh.KeyFile == "" && from.Mesh.KeyFile == "" {
		return nil, nil // the environment is what it was
	}
	return func() {
		if err := d.relay.ReplaceMeshKeys(keys); err != nil {
			d.log.Error("reload: the old mesh keys stay", "reason", err) // a key file has no such key
			return
		}
		d.log.Info("reload: the mesh keys are up to date", "count", len(keys))
		d.warnOfMeshKey(to)
	}, nil
}

// reloadCertificate has the source look again, or opens another one.
func (d *Daemon) reloadCertificate(from, to config.Config) (apply func(), err error) {
	var use func()
	if from.TLS != to.TLS || from.ACME != to.ACME || from.Hostname != to.Hostname || !slices.Equal(from.PublicIP, to.PublicIP) {
		var source certs.Source
		source, err = front.OpenIssued(to, "", true, d.options.Issue, d.log)
		use = func() { d.source.replace(source) }
	} else {
		use, err = d.source.Prepare(d.beside)
	}
	if err != nil {
		return nil, fmt.Errorf("the new certificate cannot be used; the old one stays: %w", err)
	}
	return func() {
		if use(); to.TLS.Mode != config.TLSOff {
			d.log.Info("reload: the certificate is up to date")
		}
	}, nil
}
