package main

import (
	"context"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/relaycmd"
	"github.com/detour-relay/detour/internal/demo"
	"github.com/detour-relay/detour/internal/notify"
	"github.com/detour-relay/detour/internal/trim"
)

// demoPort is where the map is served, and the first port that a demo takes.
const demoPort = 13340

type demoFlags struct {
	regions  int
	nodes    int
	listen   string
	port     int
	mapFile  string
	stateDir string
	logLevel string
	asJSON   bool

	host netip.Addr // settled from listen
}

func newDemoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a small DERP network on this machine, to try things with",
		Long: `Run a small DERP network on this machine, to try things with and to write
programs against: regions of relays that are linked to each other, each with TLS
(a certificate of its own, pinned in the map), STUN and self-checks, their DERP
map, in a file and over HTTP, and a coordinator whose members get it.

It prints the relays, the map, and commands to go on with. The relays are those
of "detour relay", and the coordinator that of "detour coord", all in one process and
on loopback only. The map is served on --port, each relay takes one of the ports after
it (TCP, and UDP for STUN), and the coordinator the one after them.

SIGINT (Ctrl-C) or SIGTERM sends the peers away and ends all within a second or
two; keys, certificates and map are removed, unless --state-dir or --map says
where to keep them. The tailnets of the coordinator are forgotten in any case.

--json prints one document: "regions" with "id", "code", "name" and "nodes", each
with "name", "url", "cert_name", "server_key" and "stun"; "map" with "url" and
"file"; "mesh_psk_file"; "coordinator" with "url", "cert_name" and "admin_socket"; and
"commands".

Exit status: 0 ended by a signal, 1 it could not start, or a part of it failed,
2 wrong usage.`,
		Example: `  detour demo
  detour demo --regions 3 --nodes 1 --port 0
  detour demo --state-dir demo --map derp.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.settle(cmd.Flags().Changed); err != nil {
				return err
			}
			return f.demo(cmd)
		},
	}
	f.define(cmd)
	return cmd
}

func (f *demoFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&f.regions, "regions", 2, "how many regions, 1 to 5")
	flags.IntVar(&f.nodes, "nodes", 2, "how many relays in each region, 1 to 5")
	flags.StringVar(&f.listen, "listen", "127.0.0.1", "loopback `address` to listen on")
	flags.IntVar(&f.port, "port", demoPort, "where the map is served, and the first of the ports that are taken; 0: any free ones")
	flags.StringVar(&f.mapFile, "map", "", "`file` to write the map to, in the form of its name (default derpmap.json in the state directory)")
	flags.StringVar(&f.stateDir, "state-dir", "", "`directory` for keys and certificates (default a temporary one, removed at the end)")
	flags.StringVar(&f.logLevel, "log-level", "warn", "least `level` to log: debug, info, warn or error")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON, and nothing else")
	cli.Complete(cmd, "log-level", "debug", "info", "warn", "error")
}

// settle checks the flags and fills in what follows from them.
func (f *demoFlags) settle(given func(flag string) bool) (err error) {
	if f.regions < 1 || f.regions > demo.Most {
		return cli.Usagef("--regions %d: want 1 to %d", f.regions, demo.Most)
	}
	if f.nodes < 1 || f.nodes > demo.Most {
		return cli.Usagef("--nodes %d: want 1 to %d", f.nodes, demo.Most)
	}
	f.host, err = netip.ParseAddr(f.listen)
	if err != nil || !f.host.IsLoopback() || f.host.Is4In6() {
		return cli.Usagef(`--listen %q: only loopback addresses, such as 127.0.0.1 or ::1; "detour relay" runs relays for others`, f.listen)
	}
	if after, most := f.regions*f.nodes+1, 65535; f.port < 0 || f.port+after > most {
		return cli.Usagef("--port %d: want 1 to %d, the first of %d ports, or 0 for any free ones", f.port, most-after, after+1)
	}
	return f.settlePaths(given)
}

// settlePaths makes the paths mean the same in another terminal.
func (f *demoFlags) settlePaths(given func(flag string) bool) (err error) {
	for flag, path := range map[string]*string{"map": &f.mapFile, "state-dir": &f.stateDir} {
		switch {
		case !given(flag):
			continue
		case *path == "":
			return cli.Usagef("--%s: the name is empty: leave it out, or name one", flag)
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return cli.Usagef("--%s: %w", flag, err)
		}
	}
	return nil
}

func (f *demoFlags) demo(cmd *cobra.Command) error {
	log, err := cli.NewLogger(cmd.ErrOrStderr(), "auto", f.logLevel)
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(cmd.Context()) // from before there is anything to remove
	defer stop()
	trim.SetGCPercent()
	d, err := demo.Open(demo.Config{
		Regions: f.regions, Nodes: f.nodes, Host: f.host, Port: f.port, MapFile: f.mapFile,
		StateDir: f.stateDir, LogLevel: f.logLevel, Logger: log, Version: cli.ReadVersion().Version,
	})
	if err != nil {
		return relaycmd.Spelt(err)
	}
	return d.Run(ctx, func() error {
		notify.Ready(log)
		return newDemoReport(d.State()).print(cmd.OutOrStdout(), f.asJSON)
	})
}

// untilSignal ends the context when the program is to end, also because the
// terminal is closed, unless nohup says that this shall not matter. Until stop is
// called a second signal changes nothing: it would leave behind what is to be
// removed, and the end does not take long.
func untilSignal(ctx context.Context) (_ context.Context, stop context.CancelFunc) {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signal.NotifyContext(ctx, signals...)
}
