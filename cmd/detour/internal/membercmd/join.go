package membercmd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/tailnet"
)

// mostInvite is how long the text of one can be, with what editors put around it.
const mostInvite = 16 << 10

type joinFlags struct {
	state      string
	inviteFile string
	name       string
	ca         string
	asJSON     bool
}

// NewJoin makes "detour join".
func NewJoin() *cobra.Command {
	var f joinFlags
	cmd := &cobra.Command{
		Use:   "join [INVITE]",
		Short: "Be a member of a tailnet, in the foreground",
		Long: `Be a member of a tailnet until SIGINT or SIGTERM.

The first time an INVITE is needed, which "detour net invite" prints: as an
argument, or - to read it from standard input. After that the state file has
all that is needed, also while no coordinator can be reached; it holds the
private key of this member.

It prints who this member is, who else there is, and what changes. It answers
the pings of the others, and sends some for "detour ping --as".

Exit status: 0 ended by a signal, 1 the invite does not count any more or this
member was removed, 2 wrong usage, 3 no coordinator can be reached to join.`,
		Example: `  detour join detour1...
  detour join
  detour net invite home | detour join -
  detour join --state anna.json --name anna --invite-file invite`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return join(cmd, &f, args) },
	}
	f.add(cmd)
	return cmd
}

// add gives a command the flags of who becomes a member.
func (f *joinFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.state, "state", "", "`file` with the state of this member (default: one for each tailnet, in the user's state directory)")
	flags.StringVar(&f.inviteFile, "invite-file", "", "read the invite from this `file`")
	flags.StringVar(&f.name, "name", "", "`name` to join with (default: that of this machine)")
	flags.StringVar(&f.ca, "ca", "", "trust the certificates of this PEM `file` instead of the system's, for coordinators without a pin")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object a line")
	cli.Complete(cmd, "name")
}

// invite reads the invite from where it is; "": none is given.
func (f *joinFlags) invite(ctx context.Context, stdin io.Reader, args []string) (string, error) {
	switch {
	case len(args) == 1 && f.inviteFile != "":
		return "", cli.Usagef("%w", errTwoInvites)
	case f.inviteFile != "":
		text, err := smallfile.Read(f.inviteFile, mostInvite)
		if err != nil {
			return "", cli.Usagef("--invite-file: %w", err)
		}
		return notEmpty(string(text), f.inviteFile)
	case len(args) == 1 && args[0] == "-":
		text, err := readAll(ctx, io.LimitReader(stdin, mostInvite))
		if err != nil {
			return "", cli.Usagef("read the invite: %w", err)
		}
		return notEmpty(string(text), "standard input")
	case len(args) == 1 && args[0] == "":
		return "", cli.Usagef("the invite is empty: leave it out, or write it")
	case len(args) == 1:
		return args[0], nil
	}
	return "", nil
}

// notEmpty refuses an invite that whoever should have written it has not.
func notEmpty(invite, from string) (string, error) {
	if strings.TrimSpace(invite) == "" {
		return "", cli.Usagef("%s has no invite: leave it out if this machine is a member already", from)
	}
	return invite, nil
}

// readAll reads until the end, or until a signal: a terminal may never end.
func readAll(ctx context.Context, in io.Reader) (text []byte, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		text, err = io.ReadAll(in)
	}()
	select {
	case <-done:
		return text, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func join(cmd *cobra.Command, f *joinFlags, args []string) error {
	cfg, err := f.config(cmd, args)
	if err != nil {
		return endOf(cmd.Context(), err)
	}
	p := newPrinter(cmd.OutOrStdout(), f.asJSON)
	removed, ctx := make(chan struct{}, 1), cmd.Context()
	var member atomic.Pointer[tailnet.Member]
	cfg.OnEvent = func(e tailnet.Event) {
		select {
		case <-p.begun:
		case <-ctx.Done():
			return
		}
		p.event(member.Load(), e)
		if e.Type == tailnet.WasRemoved {
			select {
			case removed <- struct{}{}:
			default:
			}
		}
	}
	m, err := tailnet.Open(ctx, cfg)
	if err != nil {
		return endOf(ctx, explainOpen("detour join", err))
	}
	member.Store(m)
	err = serve(cmd, p, m, cfg.StateFile, removed)
	if unsaved := m.Close(); unsaved != nil && err == nil {
		err = fmt.Errorf("after a restart this member knows less: %w", unsaved)
	}
	return err
}

// endOf is nil for an error that a signal has caused.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (f *joinFlags) config(cmd *cobra.Command, args []string) (cfg tailnet.Config, err error) {
	invite, err := f.invite(cmd.Context(), cmd.InOrStdin(), args)
	if err != nil {
		return cfg, err
	}
	if isToken(invite) {
		return cfg, cli.Usagef("this is a token of another machine, and no invite of a tailnet: detour up TOKEN")
	}
	return f.configOf(invite)
}

func (f *joinFlags) configOf(invite string) (cfg tailnet.Config, err error) {
	cfg.Invite = invite
	if cfg.StateFile, err = statePath(f.state, cfg.Invite); err != nil {
		return cfg, err
	}
	if cfg.RootCAs, err = f.roots(); err != nil {
		return cfg, err
	}
	cfg.Name, cfg.Version = f.name, "detour "+cli.ReadVersion().Version
	cfg.Version = cfg.Version[:min(len(cfg.Version), 64)]
	return cfg, nil
}

// roots are the authorities that were given; nil: none.
func (f *joinFlags) roots() (*x509.CertPool, error) {
	if f.ca == "" {
		return nil, nil
	}
	return cli.ReadRoots("--ca", f.ca)
}

// serve is the member until a signal, or until it is none any more.
func serve(cmd *cobra.Command, p *printer, m *tailnet.Member, stateFile string, removed <-chan struct{}) error {
	n, err := startNode(m, p.state)
	if err != nil {
		close(p.begun)
		return err
	}
	defer n.close()
	stop, err := n.lend(stateFile)
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "detour ping --as cannot ask this join: %v\n", err)
	} else {
		defer stop()
	}
	p.begin(m.Self(), m.Peers(), stateFile, "  ping others by name: detour ping --as "+stateFile+" NAME\n")
	select {
	case <-cmd.Context().Done():
		return nil
	case <-removed:
		return explainRemoved("detour join", stateFile)
	}
}
