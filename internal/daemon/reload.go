package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/meshkey"
	"github.com/detour-relay/detour/internal/notify"
)

// ErrRestart is the cause of the error that Reload returns for settings which the
// relay cannot take over.
var ErrRestart = errors.New("they cannot change while the relay runs")

// Config returns the settings that the relay runs with, complete.
func (d *Daemon) Config() config.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.config
}

// Reload looks again at the files of mesh keys and certificates, and takes over what
// has changed in the settings: what is live at once, the rest by having another
// process take over, which the relay then drains for. What is wrong or cannot be
// changed stays as it is, and the error says so. [ErrRestart] is in it if settings
// need a restart.
func (d *Daemon) Reload(next config.Config) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	d.notify(notify.Reloading)
	defer d.notify(notify.Ready)
	var waiting []string
	next, err := complete(next)
	if err == nil {
		changes := config.Diff(d.Config(), next)
		err = errors.Join(d.reloadMeshKeys(next), d.reloadCertificate(next, changes), d.reloadLog(next))
		if len(changes.Restart) > 0 {
			if other := d.handOver(next, changes.Restart); other != nil {
				waiting, err = changes.Restart, errors.Join(err, other)
			}
		}
	}
	d.noteReload(err, waiting)
	return err
}

func (d *Daemon) noteReload(err error, waiting []string) {
	state := admin.Reload{At: time.Now().UTC(), Restart: waiting}
	if err != nil {
		state.Error = config.Text(err, d.spelling())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reload = state
}

// lastReload returns nil if there was none.
func (d *Daemon) lastReload() *admin.Reload {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reload.At.IsZero() {
		return nil
	}
	last := d.reload
	return &last
}

// reloadMeshKeys takes the mesh keys over that stand in the file now.
func (d *Daemon) reloadMeshKeys(next config.Config) error {
	before := d.Config().Mesh.KeyFile
	if next.Mesh.KeyFile == "" && before == "" {
		return nil
	}
	keys, _, err := meshkey.Load(next.Mesh.KeyFile)
	if err == nil && len(keys) == 0 && next.Mesh.Used() {
		err = &config.Error{Setting: "mesh.key-file", What: "is gone, and siblings need it"}
	}
	if err == nil {
		err = d.relay.ReplaceMeshKeys(keys)
	}
	if err != nil {
		return fmt.Errorf("the new mesh keys cannot be used; the old ones stay: %w", err)
	}
	d.change(func(c *config.Config) { c.Mesh.KeyFile = next.Mesh.KeyFile })
	d.log.Info("reload: the mesh keys are up to date", "count", len(keys))
	d.warnOfMeshKey(next)
	return nil
}

// reloadCertificate has the source look again, or opens another one for other files.
// Settings that change more than the files wait for the next process.
func (d *Daemon) reloadCertificate(next config.Config, changes config.Changes) error {
	if d.source == nil {
		return nil
	}
	err := d.source.Reload(d.beside)
	moved := slices.Contains(changes.Live, "tls.cert") || slices.Contains(changes.Live, "tls.key")
	if moved && d.Config().TLS.Mode == config.TLSFiles && next.TLS.Mode == config.TLSFiles {
		err = d.replaceSource(next)
	}
	if err != nil {
		return fmt.Errorf("the new certificate cannot be used; the old one stays: %w", err)
	}
	d.log.Info("reload: the certificate is up to date")
	return nil
}

func (d *Daemon) replaceSource(next config.Config) error {
	source, err := openSource(next, d.log)
	if err != nil {
		return err
	}
	d.source.replace(source)
	d.change(func(c *config.Config) { c.TLS.Cert, c.TLS.Key = next.TLS.Cert, next.TLS.Key })
	return nil
}

func (d *Daemon) reloadLog(next config.Config) error {
	setLevel(d.level, next.Log.Level)
	d.change(func(c *config.Config) { c.Log.Level = next.Log.Level })
	return nil
}

// change notes a setting that has been taken over.
func (d *Daemon) change(set func(*config.Config)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	set(&d.config)
}

// fixed are the settings that make the relay another one: another process that has
// another key cannot take over from this one.
var fixed = []string{"dev", "state-dir", "relay-key"}

// handOver has another process take over with the settings.
func (d *Daemon) handOver(next config.Config, changed []string) error {
	why := d.options.Takeover.Possible()
	for _, setting := range changed {
		if slices.Contains(fixed, setting) {
			why = errors.New("the relay gets another key by them")
		}
	}
	if why != nil {
		return needsRestart(changed, fmt.Errorf("%w: %w", ErrRestart, why))
	}
	text, err := next.Encode()
	if err != nil {
		return err
	}
	if err := d.options.Takeover.Ask(d.beside, text); err != nil {
		return needsRestart(changed, fmt.Errorf("no other process could take over: %w", err))
	}
	return nil
}

func needsRestart(settings []string, why error) error {
	names := make([]string, len(settings))
	for i, setting := range settings {
		names[i] = "{" + setting + "}"
	}
	return &config.Error{What: "restart needed for " + strings.Join(names, ", "), Err: why, Failed: true}
}
