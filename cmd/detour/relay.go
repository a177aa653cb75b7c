package main

import (
	"math"
	"net"
	"time"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/edge"
	"github.com/spf13/cobra"
)

const (
	tlsOff   = "off"   // plain HTTP
	tlsFiles = "files" // a pair from two files
	tlsSelf  = "self"  // self-signed, trusted by its pin

	devListen = "127.0.0.1:3340"
)

// relayFlags are the flags of "detour relay" as they were given.
type relayFlags struct {
	dev      bool
	listen   string
	stun     string
	hostname string
	home     string

	tls  string
	cert string
	key  string

	stateDir string
	relayKey string

	acceptLimit float64
	acceptBurst int
	maxPending  int

	keepAlive    time.Duration
	userTimeout  time.Duration
	writeTimeout time.Duration

	mesh      meshFlags
	drain     time.Duration
	selfCheck string

	logFormat string
	logLevel  string
	admin     string
	pprof     string
}

func newRelayCommand() *cobra.Command {
	var f relayFlags
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
			if err := f.settle(cmd.Flags().Changed); err != nil {
				return err
			}
			return runRelay(cmd.Context(), &f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.define(cmd)
	return cmd
}

func (f *relayFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&f.dev, "dev", false, "plain HTTP on "+devListen+", with a key that is forgotten at the end")
	flags.StringVar(&f.listen, "listen", ":443", "`address` to listen on, host:port; port 0 takes any free one")
	flags.StringVar(&f.stun, "stun", "", "answer STUN on this UDP `address`, or off (default port "+stunPort+" of the host of --listen; with --dev the port of --listen)")
	flags.StringVar(&f.hostname, "hostname", "", "DNS `name` or IP address by which peers reach the relay")
	flags.StringVar(&f.tls, "tls", "", "`mode`: off, files or self (files, if --cert and --key are given)")
	flags.StringVar(&f.cert, "cert", "", "PEM `file` with the certificate and its intermediates")
	flags.StringVar(&f.key, "key", "", "PEM `file` with the private key of the certificate")
	flags.StringVar(&f.stateDir, "state-dir", "", "`directory` for keys and self-signed certificates (default "+stateDirHelp+")")
	flags.StringVar(&f.relayKey, "relay-key", "", "`file` with the relay's private key, made if missing (default relay.key in the state directory)")
	flags.StringVar(&f.home, "home", "", "home `page`: blank, or a URL to redirect to (default: a short explanation)")
	flags.Float64Var(&f.acceptLimit, "accept-limit", 0, "accept so many connections a second, close the others at once; 0: no limit")
	flags.IntVar(&f.acceptBurst, "accept-burst", 0, "with --accept-limit: so many may come at once (default one second's worth)")
	flags.IntVar(&f.maxPending, "max-pending", edge.DefaultMaxPending, "connections that may be in their handshake; the oldest gives way")
	flags.DurationVar(&f.keepAlive, "tcp-keepalive", edge.DefaultKeepAlive, "ask a silent peer's system whether it is still there; 0: never")
	flags.DurationVar(&f.userTimeout, "tcp-user-timeout", edge.DefaultUserTimeout, "close connections whose peer's system does not answer for so long (Linux); 0: the system's default")
	flags.DurationVar(&f.writeTimeout, "tcp-write-timeout", 2*time.Second, "close connections that take no bytes for so long while some wait; 0: never")
	f.mesh.define(flags)
	flags.DurationVar(&f.drain, "drain", 15*time.Second, "at the end, spread the departure of the peers over so long; 0: none")
	flags.StringVar(&f.selfCheck, "self-check", checkAuto, "how the relay checks every 30 s that it is of use, a `mode`: name, direct (its own listener), auto (by name if this machine gets there), off, or the URL by which peers reach it")
	flags.StringVar(&f.logFormat, "log-format", "auto", "`format` of the log on standard error: auto, text or json")
	flags.StringVar(&f.logLevel, "log-level", "info", "least `level` to log: debug, info, warn or error")
	flags.StringVar(&f.admin, "admin", "", "answer /healthz, /readyz, /status and /check on this loopback `address`")
	flags.StringVar(&f.pprof, "pprof", "", "serve profiles of the running program on this loopback `address`")

	for name, choices := range map[string][]string{
		"tls":        {tlsOff, tlsFiles, tlsSelf},
		"self-check": {checkAuto, checkName, checkDirect, checkOff, "https://"},
		"log-format": {"auto", "text", "json"},
		"log-level":  {"debug", "info", "warn", "error"},
		"stun":       {stunOff},
		"home":       {"blank", "http://", "https://"},
	} {
		completeFlag(cmd, name, choices...)
	}
}

// settle checks the flags and fills in what follows from others.
func (f *relayFlags) settle(given func(flag string) bool) error {
	if err := f.settleMode(given); err != nil {
		return err
	}
	if f.hostname != "" {
		host, err := certs.ParseHost(f.hostname)
		if err != nil {
			return usagef("--hostname: %w", err)
		}
		f.hostname = host
	}
	if err := edge.CheckListen(f.listen); err != nil {
		return usagef("--listen %w", err)
	}
	if err := f.settleSTUN(); err != nil {
		return err
	}
	if err := edge.CheckHome(f.home); err != nil {
		return usagef("--home %w", err)
	}
	if err := f.checkNumbers(given); err != nil {
		return err
	}
	if err := f.mesh.settle(); err != nil {
		return err
	}
	if err := checkLoopback("admin", f.admin, "127.0.0.1:9340", "it shows the addresses of peers and siblings"); err != nil {
		return err
	}
	if err := f.settleSelfCheck(); err != nil {
		return err
	}
	return checkLoopback("pprof", f.pprof, "127.0.0.1:6060", "profiles show what the program holds")
}

// settleMode checks the flags that say how peers connect.
func (f *relayFlags) settleMode(given func(string) bool) error {
	if f.dev {
		return f.settleDev(given)
	}
	if f.tls == "" && (given("cert") || given("key")) {
		f.tls = tlsFiles
	}
	switch f.tls {
	case "":
		return usagef("--tls is missing: choose self (with --hostname), files (with --cert and --key) or off; or try --dev")
	case tlsFiles:
		if f.cert == "" || f.key == "" {
			return usagef("--tls files needs both --cert and --key")
		}
		return nil
	case tlsOff, tlsSelf:
		if given("cert") || given("key") {
			return usagef("--cert and --key mean --tls files, not --tls %s: leave one or the other out", f.tls)
		}
		if f.tls == tlsSelf && f.hostname == "" {
			return usagef("--tls self needs --hostname: the DNS name or IP address by which peers reach the relay")
		}
		return nil
	}
	return usagef("--tls %q: choose off, files or self", f.tls)
}

func (f *relayFlags) settleDev(given func(string) bool) error {
	for _, other := range []string{"tls", "cert", "key", "state-dir", "relay-key"} {
		if given(other) {
			return usagef("--dev is plain HTTP with a key that is forgotten at the end: leave out --%s, or --dev", other)
		}
	}
	f.tls = tlsOff
	if !given("listen") {
		f.listen = devListen
	}
	return nil
}

func (f *relayFlags) checkNumbers(given func(string) bool) error {
	if !(f.acceptLimit >= 0) || math.IsInf(f.acceptLimit, 0) {
		return usagef("--accept-limit %v: want a number of connections, or 0 for no limit", f.acceptLimit)
	}
	if given("accept-burst") && (f.acceptLimit == 0 || f.acceptBurst < 1) {
		return usagef("--accept-burst %d: want 1 or more, together with --accept-limit", f.acceptBurst)
	}
	if f.maxPending < 1 {
		return usagef("--max-pending %d: want 1 or more", f.maxPending)
	}
	if f.drain < 0 {
		return usagef("--drain %v: want a time to spread the departure of the peers over, or 0 for none", f.drain)
	}
	for name, d := range map[string]time.Duration{
		"tcp-keepalive": f.keepAlive, "tcp-user-timeout": f.userTimeout, "tcp-write-timeout": f.writeTimeout,
	} {
		if d < 0 || d > 0 && d < time.Millisecond {
			return usagef("--%s %v: want 1ms or more, or 0", name, d)
		}
	}
	return nil
}

// checkLoopback makes sure that what is for operators is for this machine only.
func checkLoopback(flag, address, example, why string) error {
	if address == "" {
		return nil
	}
	if err := edge.CheckListen(address); err != nil {
		return usagef("--%s %w", flag, err)
	}
	host, _, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usagef("--%s %q: only loopback addresses, such as %s; %s", flag, address, example, why)
	}
	return nil
}

// orOff turns the 0 of a flag, which means off, into the negative value of a
// configuration, whose 0 means the default.
func orOff(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
