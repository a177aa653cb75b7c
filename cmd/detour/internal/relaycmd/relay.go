// Package relaycmd is the command "detour relay": its flags, what it prints once the
// relay is ready, and how it calls the settings of package config.
package relaycmd

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/config"
)

// relayFlags are the flags of "detour relay" as they were given.
type relayFlags struct {
	config.Config // those that are settings as they are

	meshKey   cli.MeshKeyFlag
	with      string
	rebalance []string
}

// New returns the command.
func New() *cobra.Command {
	f := relayFlags{Config: config.Defaults()}
	cmd := &cobra.Command{
		Use:   "relay",
		Short: "Run a relay",
		Long: `Run a relay until SIGTERM or SIGINT, which send its peers elsewhere first; a
second one ends it at once.

To try it out, --dev needs nothing else. A relay that others use needs TLS:
self makes its own certificate, which peers trust by the pin that is printed at
start; files takes a certificate of an authority, and takes over a new one when
the files change (SIGHUP looks at once).

Peers choose relays by STUN, which is answered on UDP port 3478. A relay that
fails its own check is silent there, and says so at /derp/probe and /readyz.

Several relays make a region: each is told of the others with --mesh-with,
--mesh-dns or --mesh-srv, and all have the same mesh key (which SIGHUP reloads).

SIGUSR2 starts the program anew, with the same arguments, and hands the
listening sockets to it: an upgrade that refuses no connection.`,
		Example: `  detour relay --dev
  detour relay --tls self --hostname 203.0.113.7
  detour relay --hostname relay.example --cert relay.crt --key relay.key
  detour relay --dev --mesh-psk-file mesh.key --mesh-with http://127.0.0.1:3340,http://127.0.0.1:3341`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.config(cmd.Flags().Changed)
			if err != nil {
				return err
			}
			return Spelt(runRelay(cmd.Context(), c, cmd.OutOrStdout(), cmd.ErrOrStderr()))
		},
	}
	f.define(cmd.Flags())
	for name, choices := range relayChoices {
		cli.Complete(cmd, name, choices...)
	}
	return cmd
}

// define adds the flags, in the order of the help.
func (f *relayFlags) define(flags *pflag.FlagSet) {
	flags.SortFlags = false
	f.defineAddresses(flags)
	f.defineLimits(flags)
	f.defineMesh(flags)
	f.defineOperation(flags)
}

func (f *relayFlags) defineAddresses(flags *pflag.FlagSet) {
	flags.BoolVar(&f.Dev, "dev", false, "plain HTTP on "+config.DevListen+", with a key that is forgotten at the end")
	flags.StringVar(&f.Listen, "listen", config.DefaultListen, "`address` to listen on, host:port; port 0 takes any free one")
	flags.StringVar(&f.STUN, "stun", "", "answer STUN on this UDP `address`, or off (default port 3478 of the host of --listen; with --dev the port of --listen)")
	flags.StringVar(&f.Hostname, "hostname", "", "DNS `name` or IP address by which peers reach the relay")
	flags.StringVar(&f.TLS.Mode, "tls", "", "`mode`: off, files or self (files, if --cert and --key are given)")
	flags.StringVar(&f.TLS.Cert, "cert", "", "PEM `file` with the certificate and its intermediates")
	flags.StringVar(&f.TLS.Key, "key", "", "PEM `file` with the private key of the certificate")
	flags.StringVar(&f.StateDir, "state-dir", "", "`directory` for keys and self-signed certificates (default $STATE_DIRECTORY, /var/lib/detour for root, else the user's own)")
	flags.StringVar(&f.RelayKey, "relay-key", "", "`file` with the relay's private key, made if missing (default relay.key in the state directory)")
	flags.StringVar(&f.Home, "home", "", "home `page`: blank, or a URL to redirect to (default: a short explanation)")
}

func (f *relayFlags) defineLimits(flags *pflag.FlagSet) {
	flags.Float64Var(&f.Accept.Limit, "accept-limit", f.Accept.Limit, "accept so many connections a second, and a quarter of that from one address, close the others at once; 0: no limit")
	flags.IntVar(&f.Accept.Burst, "accept-burst", f.Accept.Burst, "with --accept-limit: so many may come at once (default one second's worth)")
	flags.IntVar(&f.MaxConns, "max-conns", f.MaxConns, "have so many connections of peers and siblings, close the others at once (default as many as there are descriptors for, see ulimit -n)")
	flags.IntVar(&f.MaxPending, "max-pending", f.MaxPending, "connections that may be in their handshake; the oldest gives way")
	durationVar(flags, &f.KeepAlive, "keepalive", "send each peer a KeepAlive frame so often, 5s to 100s: sooner than proxies cut silent connections; 0: never")
	durationVar(flags, &f.TCP.KeepAlive, "tcp-keepalive", "ask a silent peer's system whether it is still there; 0: never")
	durationVar(flags, &f.TCP.UserTimeout, "tcp-user-timeout", "close connections whose peer's system does not answer for so long (Linux); 0: the system's default")
	durationVar(flags, &f.TCP.WriteTimeout, "tcp-write-timeout", "close connections that take no bytes for so long while some wait; 0: never")
}

func (f *relayFlags) defineMesh(flags *pflag.FlagSet) {
	flags.StringVar(&f.with, "mesh-with", "", "`list` of the other relays of the region: host[:port][/dialhost][=sha256-raw:pin] or http://host:port, with commas between; our own name may be in it")
	f.meshKey.Add(flags)
	flags.StringVar(&f.Mesh.CA, "mesh-ca", "", "trust the certificates of this PEM `file` for siblings instead of the system's")
	flags.StringArrayVar(&f.Mesh.DNS, "mesh-dns", nil, "every address of this `name`[:port] is a sibling, looked up again regularly; may be repeated")
	flags.StringArrayVar(&f.Mesh.SRV, "mesh-srv", nil, "the SRV records of this `name` lead to siblings, looked up again regularly; may be repeated")
	flags.StringArrayVar(&f.rebalance, "rebalance", nil, "`node=entry`: while the sibling of this entry of --mesh-with is well, send idle peers to it that want that node; may be repeated")
}

func (f *relayFlags) defineOperation(flags *pflag.FlagSet) {
	durationVar(flags, &f.Drain, "drain", "at the end, spread the departure of the peers over so long; 0: none")
	flags.StringVar(&f.SelfCheck, "self-check", f.SelfCheck, "how the relay checks every 30 s that it is of use, a `mode`: name, direct (its own listener), auto (by name if this machine gets there), off, or the URL by which peers reach it")
	flags.StringVar(&f.Log.Format, "log-format", f.Log.Format, "`format` of the log on standard error: auto, text or json")
	flags.StringVar(&f.Log.Level, "log-level", f.Log.Level, "least `level` to log: debug, info, warn or error")
	flags.StringVar(&f.Admin, "admin", "", "answer /healthz, /readyz, /status and /check on this loopback `address`")
	flags.StringVar(&f.Pprof, "pprof", "", "serve profiles of the running program on this loopback `address`")
}

// relayChoices complete the values of flags.
var relayChoices = map[string][]string{
	"tls":        {config.TLSOff, config.TLSFiles, config.TLSSelf},
	"self-check": {config.CheckAuto, config.CheckName, config.CheckDirect, config.CheckOff, "https://"},
	"log-format": {"auto", "text", "json"},
	"log-level":  {"debug", "info", "warn", "error"},
	"stun":       {config.STUNOff},
	"home":       {"blank", "http://", "https://"},
}

// durationVar defines a flag for a time whose default is what d holds.
func durationVar(flags *pflag.FlagSet, d *config.Duration, name, usage string) {
	flags.DurationVar((*time.Duration)(d), name, time.Duration(*d), usage)
}

// config is what the flags say.
func (f *relayFlags) config(given func(flag string) bool) (config.Config, error) {
	c := f.Config
	if c.Dev && !given("listen") {
		c.Listen = "" // what Dev has
	}
	if given("accept-burst") && c.Accept.Burst < 1 {
		return c, cli.Usagef("--accept-burst %d: want 1 or more, together with --accept-limit", c.Accept.Burst)
	}
	if f.with != "" {
		c.Mesh.With = strings.Split(f.with, ",")
	}
	c.Mesh.KeyFile = f.meshKey.File
	var err error
	c.Mesh.Rebalance, err = parseRebalance(f.rebalance)
	return c, err
}

// parseRebalance reads pairs of a node and its entry.
func parseRebalance(pairs []string) (map[string]string, error) {
	back := make(map[string]string, len(pairs))
	for _, text := range pairs {
		node, entry, ok := strings.Cut(text, "=")
		if !ok || node == "" || entry == "" {
			return nil, cli.Usagef("--rebalance %q: want node=entry: the name of a node in the DERP map, and its entry as in --mesh-with", text)
		}
		if before, twice := back[node]; twice {
			return nil, cli.Usagef("--rebalance: node %s is both %q and %q: remove one of them", node, before, entry)
		}
		back[node] = entry
	}
	return back, nil
}
