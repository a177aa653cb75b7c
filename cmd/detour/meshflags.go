package main

import (
	"crypto/x509"
	"log/slog"
	"strings"
	"time"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/meshkey"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
	"github.com/spf13/pflag"
)

// meshFlags say which siblings a relay has, and how it knows them.
type meshFlags struct {
	key       cli.MeshKeyFlag
	with      string
	ca        string
	dns       []string
	srv       []string
	rebalance []string

	// Settled from the above.
	entries []mesh.Entry
	back    map[string]string // rebalance: node to entry

	// Known once the keys are loaded.
	keysFrom string
	keyCount int
}

func (f *meshFlags) define(flags *pflag.FlagSet) {
	flags.StringVar(&f.with, "mesh-with", "", "`list` of the other relays of the region: host[:port][/dialhost][=sha256-raw:pin] or http://host:port, with commas between; our own name may be in it")
	f.key.Add(flags)
	flags.StringVar(&f.ca, "mesh-ca", "", "trust the certificates of this PEM `file` for siblings instead of the system's")
	flags.StringArrayVar(&f.dns, "mesh-dns", nil, "every address of this `name`[:port] is a sibling, looked up again regularly; may be repeated")
	flags.StringArrayVar(&f.srv, "mesh-srv", nil, "the SRV records of this `name` lead to siblings, looked up again regularly; may be repeated")
	flags.StringArrayVar(&f.rebalance, "rebalance", nil, "`node=entry`: while the sibling of this entry of --mesh-with is well, send idle peers to it that want that node; may be repeated")
}

// settle checks what can be checked without looking at files.
func (f *meshFlags) settle() (err error) {
	if f.entries, err = mesh.ParseEntries(f.with); err != nil {
		return usagef("--mesh-with: %w", err)
	}
	if f.ca != "" && !f.used() {
		return usagef("--mesh-ca is for siblings, and there are none: add --mesh-with, --mesh-dns or --mesh-srv")
	}
	f.back = make(map[string]string, len(f.rebalance))
	for _, text := range f.rebalance {
		node, entry, ok := strings.Cut(text, "=")
		if !ok || node == "" || entry == "" {
			return usagef("--rebalance %q: want node=entry: the name of a node in the DERP map, and its entry as in --mesh-with", text)
		}
		if before, twice := f.back[node]; twice {
			return usagef("--rebalance: node %s is both %q and %q: remove one of them", node, before, entry)
		}
		f.back[node] = entry
	}
	return nil
}

// used reports whether the relay is to link to others.
func (f *meshFlags) used() bool { return len(f.entries)+len(f.dns)+len(f.srv) > 0 }

// keys loads the mesh keys, and makes sure that there are some if the relay
// needs them.
func (f *meshFlags) keys() ([]key.Mesh, error) {
	keys, from, err := f.key.Load()
	switch {
	case err != nil:
		return nil, err
	case len(keys) == 0 && f.used():
		return nil, usagef(`--mesh-with, --mesh-dns and --mesh-srv need the mesh key of the region: make one with "detour key mesh --out mesh.key" and give it to every relay with --mesh-psk-file`)
	case len(keys) == 0 && len(f.back) > 0:
		return nil, usagef("--rebalance is for a relay with siblings: add --mesh-with")
	}
	f.keysFrom, f.keyCount = from, len(keys)
	return keys, nil
}

// logKeys tells the operator which mesh keys the relay has.
func (f *meshFlags) logKeys(log *slog.Logger) {
	if f.keyCount > 0 {
		log.Info("relays with the same mesh key are siblings", "from", f.keysFrom, "count", f.keyCount)
	}
	f.warnIfOpen(log)
}

func (f *meshFlags) warnIfOpen(log *slog.Logger) {
	if meshkey.OpenToOthers(f.key.File) {
		log.Warn("every user of this machine can read the mesh key: chmod o= the file", "file", f.key.File)
	}
}

// open makes the mesh of a relay; nil without siblings.
func (f *meshFlags) open(r *relay.Server, log *slog.Logger) (*mesh.Mesh, error) {
	if !f.used() {
		return nil, nil
	}
	var roots *x509.CertPool
	if f.ca != "" {
		var err error
		if roots, err = cli.ReadRoots("--mesh-ca", f.ca); err != nil {
			return nil, err
		}
	}
	m, err := mesh.New(mesh.Config{
		Relay: r, Entries: f.entries, DNS: f.dns, SRV: f.srv, RootCAs: roots, Rebalance: f.back, Logger: log,
	})
	if err != nil {
		return nil, usagef("%w", err)
	}
	return m, nil
}

// names are all siblings as the operator named them.
func (f *meshFlags) names() []string {
	names := []string{}
	for _, e := range f.entries {
		names = append(names, e.Name)
	}
	names = append(names, f.dns...)
	return append(names, f.srv...)
}

// reload takes the mesh keys over that stand in the file now.
func (f *meshFlags) reload(r *relay.Server, log *slog.Logger) {
	keys, _, err := f.key.Load()
	if err == nil {
		err = r.ReplaceMeshKeys(keys)
	}
	if err != nil {
		log.Error("SIGHUP: the new mesh keys cannot be used; the old ones stay", "reason", err)
		return
	}
	log.Info("SIGHUP: the mesh keys are up to date", "count", len(keys))
	f.warnIfOpen(log)
}

const (
	// linkPatience bounds how long a process that takes over waits for its links,
	// so that peers do not come to it before it reaches those of its siblings.
	linkPatience = 3 * time.Second
	linkLook     = 10 * time.Millisecond
)

// awaitLinks waits until each sibling is linked, or is known to be out of reach.
func awaitLinks(m *mesh.Mesh) {
	for end := time.Now().Add(linkPatience); time.Now().Before(end); time.Sleep(linkLook) {
		siblings, settled := m.Siblings(), 0
		for _, s := range siblings {
			if s.Status == mesh.Linked || s.Status == mesh.Self || s.Status == mesh.Known || s.LastError != "" {
				settled++
			}
		}
		if settled == len(siblings) && settled > 0 {
			return
		}
	}
}
