package membercmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/agent"
	"github.com/detour-relay/detour/internal/notify"
	"github.com/detour-relay/detour/tailnet"
)

type upFlags struct {
	joinFlags
	netFlags
	pairFlags
	serviceFlags
	logFormat string
	logLevel  string
	trial     bool // end as soon as all is there
}

const upHelp = `Connect this machine to a tailnet until SIGINT, SIGTERM or "detour down": a network
interface with the addresses of this member, a route to each other member, and WireGuard
in between. Its packets take the way through relays, and go directly by UDP as soon as a
path between the two machines is found.

The first time an INVITE is needed, which "detour net invite" prints: as an argument, or -
to read it from standard input. After that the state file has all that is needed, also
while no coordinator can be reached; it holds the private key of this member.

Two machines need no coordinator, only a relay: with --relay and --invite the one prints a
TOKEN, which is for one other machine and for 10 minutes, and "detour up TOKEN" there pairs
them. After that both need no argument, and the one may invite others.

An interface takes root, or the capability CAP_NET_ADMIN. With --userspace there is none,
and no rights are needed: programs come to other members by --socks or --forward, and
these to ports of this machine by --expose.

"detour status" shows the other members, and how they are reached.

--install has systemd run it, with the flags that are given beside it: as a user of its
own, with no right but that to make the interface. --uninstall takes that back.

Exit status: 0 ended by a signal or "detour down", 1 there can be no interface, the invite
or token does not count any more, the relay refuses this machine, or this member was
removed, 2 wrong usage, 3 no coordinator can be reached to join, no relay, or the other
machine does not answer.`

// NewUp makes "detour up".
func NewUp() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up [INVITE | TOKEN]",
		Short: "Connect this machine to a tailnet by WireGuard, in the foreground",
		Long:  upHelp,
		Example: `  detour up detour1...
  detour up
  detour up --relay 203.0.113.7=sha256-raw:... --invite
  detour up detourpair1...
  detour up --userspace --socks 1080 --expose 22
  detour up --userspace --forward 2222:ben:22
  sudo detour up detour1... --install`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.install:
				return install(cmd, &f, args)
			case f.uninstall:
				return uninstall(cmd, &f)
			}
			if err := f.check(); err != nil {
				return err
			}
			return up(cmd, &f, args)
		},
	}
	f.joinFlags.add(cmd)
	f.netFlags.add(cmd)
	f.pairFlags.add(cmd)
	f.serviceFlags.add(cmd)
	cmd.Flags().StringVar(&f.logFormat, "log-format", "auto", "`form` of the log: auto, text or json")
	cmd.Flags().StringVar(&f.logLevel, "log-level", "warn", "least `level` of what is logged: debug, info, warn or error")
	cli.Complete(cmd, "log-format", "auto", "text", "json")
	cli.Complete(cmd, "log-level", "debug", "info", "warn", "error")
	return cmd
}

func (f *upFlags) check() error { return errors.Join(f.netFlags.check(), f.pairFlags.check()) }

func up(cmd *cobra.Command, f *upFlags, args []string) error {
	log, err := cli.NewLogger(cmd.ErrOrStderr(), f.logFormat, f.logLevel)
	if err != nil {
		return cli.Usagef("%w", err)
	}
	t := newTunnel(cmd, f)
	cfg, err := f.source(cmd, args, t)
	if err != nil {
		return endOf(cmd.Context(), err)
	}
	if f.pairFlags.invite && isServed(cmd.Context(), t.stateFile) {
		return f.askToken(cmd, t.stateFile)
	}
	network, err := f.open() // before the invite is used
	if err != nil {
		return err
	}
	cfg.Network, cfg.Logger, cfg.Member.Logger = network, log, log
	cfg.RelayOnly, cfg.Port = f.relayOnly, f.port
	a, err := agent.Open(cmd.Context(), cfg)
	if err != nil {
		return endOf(cmd.Context(), explainUp(explainSource(cfg, err)))
	}
	t.agent = a
	stop, err := t.serveOrders(log)
	if err != nil {
		return errors.Join(err, a.Close())
	}
	defer stop() // last, so that who asks for the end sees it
	err = t.run(network, log)
	if unsaved := a.Close(); unsaved != nil && err == nil {
		err = fmt.Errorf("after a restart this member knows less: %w", unsaved)
	}
	return err
}

// source says who the peers are: a tailnet, or those that this machine is paired with.
func (f *upFlags) source(cmd *cobra.Command, args []string, t *tunnel) (cfg agent.Config, err error) {
	invite, err := f.joinFlags.invite(cmd.Context(), cmd.InOrStdin(), args)
	if err != nil {
		return cfg, err
	}
	if cfg.Pair, err = f.pairConfig(invite); err != nil {
		return cfg, err
	}
	if cfg.Pair != nil {
		t.stateFile = cfg.Pair.StateFile
		cfg.Pair.OnEvent, cfg.Pair.OnRefused = t.event, func(err error) { t.fail(explainPair(err)) }
		cfg.Base.RootCAs, err = f.roots()
		return cfg, err
	}
	cfg.Member, err = f.configOf(invite)
	t.stateFile, cfg.Member.OnEvent = cfg.Member.StateFile, t.event
	return cfg, err
}

func explainSource(cfg agent.Config, err error) error {
	if cfg.Pair != nil {
		return explainPair(err)
	}
	return explainOpen("detour up", err)
}

// tunnel is an agent that runs, and what people hear of it.
type tunnel struct {
	cmd       *cobra.Command
	p         *printer
	agent     *agent.Agent
	stateFile string
	caFile    string
	invite    bool          // make a token
	trial     bool          // end as soon as all is there
	removed   chan struct{} // this is no member any more
	ordered   chan struct{} // somebody has asked for the end
	failed    chan error    // it is not paired, and will not be

	mu    sync.Mutex
	begun bool            // guarded by mu
	early []tailnet.Event // guarded by mu: what has happened before
}

func newTunnel(cmd *cobra.Command, f *upFlags) *tunnel {
	return &tunnel{
		cmd: cmd, p: newPrinter(cmd.OutOrStdout(), f.asJSON), caFile: f.ca, invite: f.pairFlags.invite, trial: f.trial,
		removed: make(chan struct{}, 1), ordered: make(chan struct{}, 1), failed: make(chan error, 1),
	}
}

// fail ends the tunnel. The first reason counts.
func (t *tunnel) fail(err error) {
	select {
	case t.failed <- err:
	default:
	}
}

// event is tailnet.Config.OnEvent. It never waits: while the agent is opened, nothing is
// printed yet.
func (t *tunnel) event(e tailnet.Event) {
	if e.Type == tailnet.WasRemoved {
		signalTo(t.removed)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.begun {
		t.early = append(t.early, e)
		return
	}
	t.p.event(t.agent.Member(), e)
}

func signalTo(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (t *tunnel) begin(more string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.agent.Member()
	t.p.begin(m.Self(), m.Peers(), t.stateFile, more)
	for _, e := range t.early {
		t.p.event(m, e)
	}
	t.begun, t.early = true, nil
}

// run is the agent until a signal, an order, or until something makes it senseless.
func (t *tunnel) run(network *network, log *slog.Logger) error {
	more, stop, err := network.ports(t.agent, log)
	if err != nil {
		return err
	}
	defer stop()
	if t.trial {
		t.begin(more)
		return t.tryPair(t.cmd.Context())
	}
	t.begin(more + "  who is there, and how: detour status --state " + t.stateFile + "\n")
	notify.Ready(log)
	defer notify.Stopping(log)
	ctx, cancel := context.WithCancel(t.cmd.Context())
	var telling sync.WaitGroup
	defer telling.Wait()
	defer cancel()
	telling.Go(func() { t.tellRelay(ctx) })
	telling.Go(func() {
		if err := t.beginPair(ctx, t.invite); err != nil {
			t.fail(err)
		}
	})
	select {
	case <-t.cmd.Context().Done():
		return nil
	case <-t.ordered:
		return nil
	case err := <-t.failed:
		return err
	case <-t.removed:
		return explainRemoved("detour up", t.stateFile)
	case <-t.agent.Gone():
		return &failure{agent.ErrDeviceGone, "start this again"}
	}
}
