package wgcmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/membercmd"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/netwatch"
	"github.com/detour-relay/detour/internal/notify"
	"github.com/detour-relay/detour/internal/sockmark"
	"github.com/detour-relay/detour/internal/wgproxy"
	"github.com/detour-relay/detour/key"
)

type flags struct {
	membercmd.Flags
	homes     []string
	mapName   string
	logFormat string
	logLevel  string
}

// New makes "detour wg".
func New() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "wg INTERFACE [INVITE]",
		Short: "Carry the packets of a WireGuard that is there already through relays",
		Long: `Stand between a WireGuard that is there already, of the kernel or of a program such as
wireguard-go, and the relays, until SIGINT or SIGTERM. It is set up as ever, by wg or
wg-quick: key, peers, addresses and routes are its own, and no endpoints are needed.

Each peer gets a socket on the loopback of this machine, to which its endpoint is set. What
WireGuard sends there goes to the peer by way of relays, under the interface's own key. In
the end, and at the next start after a kill, peers have the endpoints that they had. An
endpoint that somebody sets meanwhile is set back, and is what the peer has in the end.

Where the peers are is told

  - by a coordinator: the interface becomes a member of a tailnet, by its own key. The first
    time this takes an INVITE ("detour net invite" prints one): as an argument, or - to read
    it from standard input. Its private key does not get into the state file;
  - or by --home, once for each peer, and --map with the relays. The same list will do on
    all machines: what it says of this one's own key is where it has its home. A REGION is a
    number or a code of the map, a KEY as "wg show" prints it.

A peer of whom neither says anything is looked for in our own region. Peers are never made
or removed here: a member that is no peer of the interface is printed, and you add it.

A default route through the tunnel needs a mark (wg set INTERFACE fwmark 51820) and rules
that keep what has it out of the tunnel, as wg-quick makes them: the connections to relays
and coordinators get the same mark. Linux and FreeBSD have marks.

What changes in WireGuard's settings is followed within a second or two: peers, mark, port,
and with --home the private key, too. When the interface goes, this ends.

It needs the rights that wg needs: root, or CAP_NET_ADMIN.

Exit status: 0 ended by a signal, 1 there is no such WireGuard any more or it cannot be
used, the invite does not count any more, or this member was removed, 2 wrong usage, 3 no
coordinator can be reached to join, or the map cannot be read.`,
		Example: `  detour wg wg0 detour1...
  detour wg wg0
  detour wg wg0 --map https://maps.example/derpmap.json --home p4Hn...E4k==901 --home R1xn...8Xo==ams`,
		Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return wgproxy.Names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0], args[1:]) },
	}
	f.add(cmd)
	return cmd
}

func (f *flags) add(cmd *cobra.Command) {
	f.Add(cmd)
	flags := cmd.Flags()
	flags.Lookup("state").Usage = "`file` with the state of this member (default: one for each interface, in the user's state directory)"
	flags.Lookup("ca").Usage = "trust the certificates of this PEM `file` instead of the system's, for coordinators without a pin, or for a --map from an https URL"
	flags.StringArrayVar(&f.homes, "home", nil, "`KEY=REGION`: where a peer is, without a coordinator; repeatable")
	flags.StringVar(&f.mapName, "map", "", "with --home: the relays, as a `map` in a file or at an http or https URL")
	flags.StringVar(&f.logFormat, "log-format", "auto", "`form` of the log: auto, text or json")
	flags.StringVar(&f.logLevel, "log-level", "warn", "least `level` of what is logged: debug, info, warn or error")
	cli.Complete(cmd, "home")
	cli.Complete(cmd, "log-format", "auto", "text", "json")
	cli.Complete(cmd, "log-level", "debug", "info", "warn", "error")
}

// check reads what was given, before anything is touched.
func (f *flags) check(cmd *cobra.Command, invite []string) ([]home, error) {
	switch {
	case f.mapName == "" && len(f.homes) == 0:
		return nil, nil
	case f.mapName == "":
		return nil, cli.Usagef("--home needs --map: the relays of the regions")
	case len(f.homes) == 0:
		return nil, cli.Usagef("--map needs --home, at least one: where peers are; with a coordinator leave it out, since that has the map")
	case len(invite) > 0:
		return nil, cli.Usagef("an INVITE is for a coordinator, which says where peers are, and --home says it without one: leave one out")
	}
	if err := cli.Unused(cmd, "with --home, which takes no coordinator", "state", "invite-file", "name"); err != nil {
		return nil, err
	}
	return parseHomes(f.homes)
}

func (f *flags) run(cmd *cobra.Command, name string, invite []string) error {
	homes, err := f.check(cmd, invite)
	if err != nil {
		return err
	}
	log, err := cli.NewLogger(cmd.ErrOrStderr(), f.logFormat, f.logLevel)
	if err != nil {
		return cli.Usagef("%w", err)
	}
	dir, err := front.StateDir("", "members")
	if err != nil {
		return cli.Usagef("there is no home directory to keep in it which endpoints there were: set $STATE_DIRECTORY")
	}
	device, err := wgproxy.Find(name)
	if err != nil {
		return explained(name, err)
	}
	s := &session{name: name, cmd: cmd, flags: f, log: log, dir: dir, p: newPrinter(cmd.OutOrStdout(), name, f.JSON())}
	s.proxy, err = wgproxy.Open(wgproxy.Config{
		Device: device, Note: filepath.Join(dir, "endpoints-"+place(name)+".json"), SetMark: s.marker.Set, OnEvent: s.p.proxy,
	})
	if err != nil {
		return explained(name, err)
	}
	defer s.proxy.Close()
	if len(homes) > 0 {
		return s.byHomes(homes)
	}
	return s.asMember(invite)
}

// place is a name for files about an interface: in another network namespace than that of
// the system, another one may be called so.
func place(name string) string {
	own, err := os.Readlink("/proc/self/ns/net")
	first, failed := os.Readlink("/proc/1/ns/net")
	if err != nil || failed != nil || own == first {
		return name
	}
	var number uint64
	fmt.Sscanf(own, "net:[%d]", &number)
	return fmt.Sprintf("%s@%d", name, number)
}

// A session is one run of the command.
type session struct {
	name   string
	cmd    *cobra.Command
	flags  *flags
	log    *slog.Logger
	dir    string
	p      *printer
	marker sockmark.Marker
	proxy  *wgproxy.Proxy
	host   atomic.Pointer[client.Host] // nil: there was none yet
	unsent uint64                      // packets that Hosts before it have not sent
}

// A way finds the peers.
type way interface {
	// host connects to the relays as who has this key.
	host(key.Private, client.HostConfig) (*client.Host, error)

	// about tells what is known of a peer.
	about(key.Public) peer

	// networkChanged is told when this machine is connected to another network.
	networkChanged()
}

// run carries packets until ctx ends; is says which member the interface is.
func (s *session) run(ctx context.Context, w way, is *self) error {
	s.p.begin(s.proxy.First(), w.about, is)
	defer func() { s.p.end(s.proxy.Stats(), s.unsent+unsent(s.host.Load())) }()
	defer s.watchNetwork(ctx, w)()
	defer notify.Stopping(s.log)
	err := s.proxy.Run(ctx, func(k key.Private) (wgproxy.Relays, error) {
		cfg := client.HostConfig{MaxAge: maxAge, OnState: s.p.host, Logger: s.log}
		s.marker.Install(&cfg)
		h, err := w.host(k, cfg)
		if err != nil {
			return nil, err
		}
		before := s.host.Swap(h)
		s.unsent += unsent(before)
		s.awaitHome(ctx, h)
		if before == nil {
			notify.Ready(s.log)
		}
		return h, nil
	})
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil
	}
	return explained(s.name, err)
}

// awaitHome waits for a relay for a moment: WireGuard's first packets would be lost, and it
// waits for 5 s before it sends them again.
func (s *session) awaitHome(ctx context.Context, h *client.Host) {
	ctx, cancel := context.WithTimeout(ctx, homeTime)
	defer cancel()
	h.AwaitHome(ctx)
}

// unsent is how many packets a Host, if there is one, had no room or no region for.
func unsent(h *client.Host) uint64 {
	if h == nil {
		return 0
	}
	s := h.Stats()
	return s.Dropped + s.NoRegion
}

// watchNetwork has relays and coordinators measured and connected anew when this machine is
// connected to another network, until stop is called.
func (s *session) watchNetwork(ctx context.Context, w way) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		netwatch.Watch(ctx, func(name string) bool { return name == s.name }, func() {
			if h := s.host.Load(); h != nil {
				h.NetworkChanged()
			}
			w.networkChanged()
		})
	})
	return func() { cancel(); running.Wait() }
}
