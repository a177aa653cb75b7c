// Package initcmd is the command "detour init": it asks what only an operator can know,
// looks whether the answers fit the machine, writes the file of settings, and says what
// is to be done elsewhere.
package initcmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/relaycmd"
	"github.com/detour-relay/detour/internal/acme"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/setup"
)

// options are what the command line says.
type options struct {
	file    string
	yes     bool
	json    bool
	service bool
	force   bool
	root    string
	region  setup.Region
	given   []config.Given
}

// asked are the settings that the questions are about, whose flags the help shows.
var asked = []string{
	"hostname", "public-ip", "listen", "stun", "tls.mode", "tls.cert", "tls.key", "acme.directory", "acme.challenge", "trusted-proxies",
	"access.keys", "access.managed", "access.verify", "access.coordinator", "access.coordinator-token", "access.tailscaled", "access.everyone",
	"mesh.with", "mesh.key-file",
}

// New returns the command.
func New() *cobra.Command { return newCommand(new(options)) }

func newCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init [NAME|IP]",
		Short: "Set up a relay: ask, look, write its settings, and say what is next",
		Long: `Set up a relay by at most four questions: the name or public IP address by which
peers reach it, where its certificate comes from, who may come in, and whether other
relays are in its region. Each is also a flag; --yes asks nothing, and takes for what is
not given what stands in brackets otherwise.

It looks whether the answers fit: DNS, ports, the certificate and its key, whom they ask.
Then it writes the file of settings, and prints the DERP map for Tailscale and for
Headscale, the ports to open, and what to do next. --service also installs and starts
the systemd unit.

Run again, it keeps what stands in the file, comments too. It asks what is still open,
and shows what it would change before it does. --json without --yes writes nothing. All
flags of "detour relay" are taken, too, and go into the file.

Exit status: 0 done, 1 something is wrong (nothing is changed then), 2 wrong usage.`,
		Example: `  detour init
  sudo detour init --service relay.example.com
  detour init --yes 203.0.113.7 --tls self --access-verify https://headscale.example.com/verify
  detour init --yes relay.example.com --tls off --access-tailscaled auto
  detour init -o relay.yaml --listen :8443 --stun :8478
  detour init --mesh-with derp1.example.com,derp2.example.com`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.take(args); err != nil {
				return err
			}
			return run(cmd, o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&o.file, "config", "o", relaycmd.DefaultFile, "write settings to this YAML `file`")
	cobra.CheckErr(cmd.MarkFlagFilename("config", "yaml", "yml"))
	flags.BoolVarP(&o.yes, "yes", "y", false, "ask nothing: take what is usual for what is not given, and write")
	flags.BoolVar(&o.service, "service", false, "install and start the systemd service, too")
	flags.BoolVar(&o.force, "force", false, "write although something is wrong, and replace a unit that was changed by hand")
	flags.BoolVar(&o.json, "json", false, "print JSON, and ask nothing; without --yes only what would be done")
	flags.IntVar(&o.region.ID, "region-id", setup.FirstRegion, "`number` of the region in the map that is printed")
	flags.StringVar(&o.region.Code, "region-code", "", "short `code` of the region there (default: the first part of the name)")
	flags.StringVar(&o.region.Name, "region-name", "", "`name` of the region there")
	flags.StringVar(&o.root, "root", "", "put all files beneath this `directory` instead of /, as when an image is made")
	cobra.CheckErr(flags.MarkHidden("root"))
	cobra.CheckErr(cmd.MarkFlagDirname("root"))
	for _, s := range config.Table() {
		if s.Path == "dev" {
			continue
		}
		relaycmd.DefineShared(cmd, s.Path, "", &o.given)
		cmd.Flags().Lookup(s.Flag).Hidden = !slices.Contains(asked, s.Path)
	}
	return cmd
}

// take reads the argument, which is the name, and names as people write them.
func (o *options) take(args []string) error {
	for _, g := range o.given {
		if g.Path == "hostname" && len(args) > 0 {
			return cli.Usagef("%s and --hostname %s: give one of them", args[0], g.Text)
		}
	}
	if len(args) > 0 {
		o.given = append(o.given, config.Given{Path: "hostname", Text: args[0]})
	}
	if o.file == "" {
		return cli.Usagef("--config: the file name is empty: name the file to write")
	}
	if o.region.ID < 1 || o.region.ID > 65535 {
		return cli.Usagef("--region-id %d: want a number from 900 to 999, which are for regions of one's own", o.region.ID)
	}
	return nil
}

func run(cmd *cobra.Command, o *options) error {
	s := &session{
		options: o, ctx: cmd.Context(), out: cmd.OutOrStdout(), page: cli.PageOf(cmd.OutOrStdout()),
		world: setup.World{Lookup: setup.Lookup, Own: setup.Own, Hostname: os.Hostname, Authority: acme.LetsEncrypt},
	}
	if !o.yes && !o.json {
		s.ask = newPrompter(s.ctx, cmd.InOrStdin(), s.out)
	}
	return s.run()
}

// run does it all, in the order in which a person wants to hear of it.
func (s *session) run() error {
	if err := s.begin(); err != nil {
		return err
	}
	for _, step := range []func() error{s.answer, s.compose, s.look, s.agree, s.write, s.serve, s.await} {
		if err := step(); err != nil {
			return s.failed(err)
		}
	}
	return s.finish()
}

// A session is one run of the command.
type session struct {
	*options
	ctx   context.Context
	out   io.Writer
	page  cli.Page
	world setup.World
	ask   *prompter // nil: nobody is there to ask

	plan
	report
}

// say prints for people.
func (s *session) say(format string, args ...any) {
	if !s.json {
		fmt.Fprintf(s.out, format, args...)
	}
}

// note is what people should know of what they have written.
func (s *session) note(text string) {
	text = braces(text)
	s.Notes = append(s.Notes, text)
	s.say("%s", cli.Fold("note   "+text, s.page.Width, 7))
}
