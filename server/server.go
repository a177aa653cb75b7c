// Package server runs a whole relay inside another program: listener, TLS, STUN,
// siblings and self-check, as "detour relay" does. Package relay is the engine alone,
// for programs that have connections of their own.
//
//	s, err := server.Open(server.Config{Listen: ":8443", Hostname: "203.0.113.7", StateDir: "state", Admit: decide})
//	...
//	err = s.Run(ctx) // until ctx is done; then peers are sent elsewhere
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/relay"
)

// Config is what a [Server] is made from. Zero fields mean the default.
type Config struct {
	// Listen is the address of the relay, host:port (default :443); port 0 takes
	// any free one.
	Listen string

	// Hostname is the DNS name or IP address by which peers reach the relay.
	Hostname string

	// CertFile and KeyFile are PEM files with the certificate of an authority; they
	// are read again when they change. Without them the relay makes a certificate of
	// its own for Hostname, which peers trust by its pin.
	CertFile, KeyFile string

	// Plain is HTTP without TLS, for a relay behind something that speaks it.
	Plain bool

	// StateDir keeps the relay's private key and its own certificate. Required.
	StateDir string

	// STUN is the UDP address for STUN (default port 3478 of Listen's host), or "off".
	STUN string

	// MeshWith are the other relays of the region, as --mesh-with of "detour relay"
	// has them; MeshKeyFile has the key that all of them share.
	MeshWith    []string
	MeshKeyFile string

	// Drain is the time over which peers are sent away at the end (default 15 s;
	// negative means none).
	Drain time.Duration

	// Admit decides who may come in, as relay.Config.Admit. It is required unless Listen
	// is an address of loopback: a relay that everybody may use is found within days. See
	// Everyone.
	Admit func(context.Context, relay.Applicant) (relay.Admission, error)

	// Logger gets a line for what an operator should know; nil discards.
	Logger *slog.Logger
}

// fields say how a Config calls the settings of a relay.
var fields = map[string]string{
	"listen": "Config.Listen", "hostname": "Config.Hostname", "stun": "Config.STUN", "state-dir": "Config.StateDir",
	"tls.mode": "TLS", "tls.cert": "Config.CertFile", "tls.key": "Config.KeyFile",
	"mesh.with": "Config.MeshWith", "mesh.key-file": "Config.MeshKeyFile",
}

func fieldOf(setting string) string { return cmp.Or(fields[setting], setting) }

// A Server is one relay. Its methods may be called by any goroutine.
type Server struct{ daemon *daemon.Daemon }

// Open binds all sockets and makes the relay. Nobody is answered before Run.
func Open(c Config) (*Server, error) {
	if c.StateDir == "" {
		return nil, errors.New("server: Config.StateDir is missing: name a directory that outlives the program")
	}
	d, err := daemon.Open(c.settings(), daemon.Options{Logger: c.Logger, Admit: c.Admit, Spell: fieldOf})
	if e, ok := errors.AsType[*config.Error](err); ok && len(e.Choices) > 0 {
		return nil, fmt.Errorf("server: Config.Admit is missing, and others can reach %s: give a function that decides who may come in, or Everyone", cmp.Or(c.Listen, config.DefaultListen))
	}
	if err != nil {
		return nil, fmt.Errorf("server: %s", config.Text(err, fieldOf))
	}
	return &Server{d}, nil
}

// Everyone is a Config.Admit that lets everybody in, for who means it: whoever finds
// the relay can use it, and you pay for the traffic.
func Everyone(context.Context, relay.Applicant) (relay.Admission, error) {
	return relay.Admission{}, nil
}

func (c Config) settings() config.Config {
	s := config.Defaults()
	s.Listen, s.Hostname, s.STUN, s.StateDir = c.Listen, c.Hostname, c.STUN, c.StateDir
	s.TLS = config.TLS{Mode: config.TLSSelf, Cert: c.CertFile, Key: c.KeyFile}
	switch {
	case c.Plain:
		s.TLS.Mode = config.TLSOff
	case c.CertFile != "" || c.KeyFile != "":
		s.TLS.Mode = config.TLSFiles
	}
	s.Mesh.With, s.Mesh.KeyFile = c.MeshWith, c.MeshKeyFile
	s.AdminSocket = config.AdminSocketOff // the program is what changes it
	s.History = config.HistoryOff         // nobody asks for it
	s.Log.Level = "debug"                 // the logger decides
	if c.Drain != 0 {
		s.Drain = config.Duration(max(0, c.Drain))
	}
	return s
}

// Reload takes over another Config, and the contents of its files, while the relay
// runs: who is connected stays connected. If anything is wrong, nothing changes at all.
// Listen, STUN and StateDir need another Server; where they differ, the error says so,
// and all else has changed. Admit and Logger stay what they were.
func (s *Server) Reload(c Config) error {
	if _, err := s.daemon.Reload(c.settings()); err != nil {
		return fmt.Errorf("server: %s", config.Text(err, fieldOf))
	}
	return nil
}

// Run serves until ctx is done, then sends the peers elsewhere and stops. It may be
// called once.
func (s *Server) Run(ctx context.Context) error { return s.daemon.Run(ctx) }

// Close ends the relay at once, also one that does not run.
func (s *Server) Close() error { return s.daemon.Stop() }

// URL is where peers find the relay, as far as it can know.
func (s *Server) URL() string { return s.daemon.State().URL }

// Pin is by what peers trust the relay's own certificate, to be written as CertName
// into the DERP map; empty if an authority has signed it, and without TLS.
func (s *Server) Pin() string { return s.daemon.State().Pin }
