package daemon

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/meshkey"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/key"
)

// identity loads or makes the relay's private key.
func (d *Daemon) identity(cfg config.Config) (key.Private, error) {
	if cfg.Dev {
		return key.NewPrivate(), nil
	}
	path := cfg.RelayKey
	if path == "" {
		dir, err := stateDir(cfg)
		if err != nil {
			return key.Private{}, err
		}
		path = filepath.Join(dir, "relay.key")
	}
	// An error shows again below, where it is told.
	os.MkdirAll(filepath.Dir(path), 0o700) // nobody else has business beside a private key
	identity, created, err := key.LoadOrCreateFile(path)
	if created {
		d.log.Info("made a key for the relay", "file", path)
	}
	if err == nil {
		warnOfModes(path, d.log)
	}
	return identity, err
}

// warnOfModes tells of a key that is not the relay's alone: who has it is the
// relay, to its peers.
func warnOfModes(path string, log *slog.Logger) {
	if smallfile.OpenToOthers(path) {
		log.Warn("every user of this machine can read the relay's private key: chmod 600 it", "file", path)
	}
	if dir := filepath.Dir(path); smallfile.WritableByOthers(dir) {
		log.Warn("every user of this machine can replace what is in the state directory: chmod 700 it", "dir", dir)
	}
}

// meshKeys loads the mesh keys, tells where they are from, and makes sure that there are some if the relay
// needs them.
func meshKeys(cfg config.Config) (keys []key.Mesh, from string, err error) {
	keys, from, err = meshkey.Load(cfg.Mesh.KeyFile)
	if err == nil && len(keys) == 0 && cfg.Mesh.Used() {
		err = &config.Error{
			Setting: "mesh.with", What: `, {mesh.dns} and {mesh.srv} need the mesh key of the region`,
			Remedy: `make one with "detour key mesh --out mesh.key" and give it to every relay with {mesh.key-file}`,
		}
	}
	return keys, from, err
}

func missingMeshKey() error {
	return &config.Error{
		Setting: "mesh.with", What: `, {mesh.dns} and {mesh.srv} need the mesh key of the region`,
		Remedy: `make one with "detour key mesh --out mesh.key" and give it to every relay with {mesh.key-file}`,
	}
}

func (d *Daemon) warnOfMeshKey(cfg config.Config) {
	if meshkey.OpenToOthers(cfg.Mesh.KeyFile) {
		d.log.Warn("every user of this machine can read the mesh key: chmod o= the file", "file", cfg.Mesh.KeyFile)
	}
}
