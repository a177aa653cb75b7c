package coordcmd

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/relaycmd"
	"github.com/detour-relay/detour/internal/acme"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/coordserver"
	"github.com/detour-relay/detour/internal/metrics"
	"github.com/detour-relay/detour/internal/takeover"
	"github.com/detour-relay/detour/internal/trim"
)

// New returns the command "detour coord".
func New() *cobra.Command {
	f := newFlags()
	cmd := &cobra.Command{
		Use:   "coord",
		Short: "Run a coordinator: it tells the members of a tailnet about each other",
		Long: `Run a coordinator until SIGTERM or SIGINT; a second one ends it at once. It tells
the members of tailnets about each other: who there is, at which region's relays each
can be reached, and which DERP map counts. Packets do not go through it, and go on while
it is away. "detour net" says who is a member.

To try it out, --dev needs nothing else, and forgets all at the end. One that others use
needs TLS, as a relay does: self makes its own certificate, which members know by the
pin in their invite; files takes one of an authority, and acme has an authority issue it.

It keeps its state in --state-dir, which only one process can have. Of three that are
started with --cluster any may die. --nats keeps the state in NATS servers with JetStream
that run already; any number of coordinators can stand before them.

At SIGTERM members are sent to the other coordinators, spread over --drain; a single one
ends at once, and its members come back when it does. SIGHUP looks at certificate, map
and token again. SIGUSR2 starts the program anew and hands the listening sockets to it:
no connection is refused. With a state directory members wait a moment for their answer
then, until the new process has it.`,
		Example: `  detour coord --dev
  detour coord --tls self --hostname 203.0.113.7 --map derp.yaml
  detour coord --hostname coord.example --cert coord.crt --key coord.key
  detour coord --tls self --hostname 203.0.113.7 --name a --cluster a=10.0.0.1:6222,b=10.0.0.2:6222,c=10.0.0.3:6222 \
      --cluster-secret cluster.secret --contact https://203.0.113.7=sha256-raw:<hex>,https://203.0.113.8=sha256-raw:<hex>
  detour coord --tls off --listen 127.0.0.1:3350 --nats tls://nats1.example:4222 --nats-credentials coord.creds`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.config()
			if err == nil {
				err = runCoordinator(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			return relaycmd.Spelt(err)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.define(cmd)
	return cmd
}

// runCoordinator runs until ctx is done or another process has taken over.
func runCoordinator(ctx context.Context, cfg coordserver.Config, stdout, stderr io.Writer) error {
	handover, err := takeover.New()
	if err != nil {
		return err
	}
	if cfg, err = cfg.Complete(); err != nil {
		return err
	}
	log, err := cli.NewLogger(stderr, cfg.Front.Log.Format, cfg.Front.Log.Level)
	if err != nil {
		return err
	}
	trim.SetGCPercent()
	s, err := coordserver.Open(cfg, coordserver.Options{
		Logger: log, Takeover: handover, Version: cli.ReadVersion().Version, Service: true, Spell: relaycmd.FlagName, Issue: acme.FromSettings,
		Metrics: func(state func() coordserver.State, log *slog.Logger) http.Handler {
			return metrics.NewTable(coordserver.Metrics, state, log)
		},
	})
	if err != nil {
		return err
	}
	defer reloadOnHangup(s)()
	defer context.AfterFunc(ctx, func() { log.Info("a second signal ends the coordinator at once") })()
	return s.Run(ctx, func() error {
		if handover.TakesOver() { // nobody may be reading any more where the first process wrote
			return nil
		}
		_, err := io.WriteString(stdout, banner(cfg, s.State()))
		return err
	})
}

// flags are those that a relay has, too, and those that only a coordinator has.
type flags struct {
	shared []config.Given // of package config's table
	coord  coordserver.Config
}

func newFlags() *flags { return &flags{coord: coordserver.Defaults()} }

// shared are the settings that a relay has, too, with what they are for where that is
// not the same, in the order of the help.
var shared = []struct{ path, help string }{
	{"dev", "plain HTTP on " + coordserver.DevListen + ", with all state in memory, which is forgotten at the end"},
	{"listen", ""},
	{"hostname", "DNS `name` or IP address by which members reach the coordinator"},
	{"public-ip", "more IP `addresses` by which members reach the coordinator; --tls acme has a certificate issued for them, too"},
	{"tls.mode", ""}, {"tls.cert", ""}, {"tls.key", ""},
	{"state-dir", "`directory` for the state, and for self-signed certificates (default: $STATE_DIRECTORY, /var/lib/detour/coord for root, else the user's own)"},
}

// sharedACME are those of an authority.
var sharedACME = []string{
	"acme.directory", "acme.ca", "acme.contact", "acme.eab-key-id", "acme.eab-key", "acme.profile", "acme.challenge", "acme.dns-hook", "acme.dns-server", "acme.dns-key", "acme.dns-wait", "acme.storage",
}

var sharedOperation = []struct{ path, help string }{
	{"max-conns", "have so many connections, close the others at once (default: as many as there are descriptors for, see ulimit -n)"},
	{"drain", "at the end, spread the departure of the members over so long; 0: none"},
	{"log.format", ""}, {"log.level", ""},
	{"admin", "answer /healthz, /readyz and /status on this loopback `address`"},
	{"admin-socket", "unix `socket` by which \"detour net\" reaches the coordinator of this machine, or off (default: admin.sock in the state directory)"},
	{"admin-https", "`address` at which the same is answered over the network, to those who have the token of --admin-token"},
	{"admin-token", ""}, {"metrics", ""}, {"metrics-token", ""}, {"metrics-ca", ""},
}

func (f *flags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	for _, s := range shared {
		relaycmd.DefineShared(cmd, s.path, s.help, &f.shared)
	}
	flags.StringVar(&f.coord.Map, "map", "", "`file` or URL with the DERP map that members get; looked at again and again (default: the one that \"detour net map set\" has set)")
	flags.StringVar(&f.coord.MapCA, "map-ca", "", "trust the certificates of this PEM `file` for the map's URL instead of the system's")
	flags.StringSliceVar(&f.coord.Contacts, "contact", nil, "`URLs` of all coordinators, each with =sha256-raw:pin if its certificate is self-signed: what invites name (default: this one)")
	flags.BoolVar(&f.coord.OpenVerify, "open-verify", false, "have relays ask who is a member without a token, also derper's --verify-client-url")
	flags.StringSliceVar(&f.coord.Cluster, "cluster", nil, "`list` of three coordinators as NAME=HOST:PORT, this one too, that keep the state together")
	flags.StringVar(&f.coord.Name, "name", "", "which `one` of --cluster this is")
	flags.StringVar(&f.coord.ClusterSecret, "cluster-secret", "", "`file` with the secret that all of --cluster have, one a line: the first is used, all are accepted")
	flags.StringSliceVar(&f.coord.NATS, "nats", nil, "keep the state in NATS servers with JetStream at these `URLs`, tls://host:port or nats://host:port")
	flags.StringVar(&f.coord.NATSCredentials, "nats-credentials", "", "`file` with the credentials for --nats")
	flags.StringVar(&f.coord.NATSCA, "nats-ca", "", "trust the certificates of this PEM `file` for --nats instead of the system's")
	for _, path := range sharedACME {
		relaycmd.DefineShared(cmd, path, "", &f.shared)
	}
	for _, s := range sharedOperation {
		relaycmd.DefineShared(cmd, s.path, s.help, &f.shared)
	}
	for _, name := range []string{"contact", "cluster", "name", "nats", "open-verify"} {
		cobra.CheckErr(cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions))
	}
}

// config makes the settings of the flags.
func (f *flags) config() (coordserver.Config, error) {
	cfg := f.coord
	l := config.Load(config.Sources{Flags: f.shared})
	if err := l.Usable(); err != nil {
		return cfg, cli.Usagef("%w", err)
	}
	cfg.Front = l.Config
	return cfg, nil
}
