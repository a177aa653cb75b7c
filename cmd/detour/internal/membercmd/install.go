package membercmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/dist"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/unit"
)

// serviceDir is where the service has the state of members. It is that of root, too.
const serviceDir = unit.StateDir + "/members"

// mostPrivileged is the last port that takes a right to listen at.
const mostPrivileged = 1023

// serviceFlags have an up run as a service of systemd.
type serviceFlags struct {
	install   bool
	uninstall bool
	root      string
}

func (f *serviceFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.install, "install", false, "join if need be, then have systemd run this with the other flags, now and whenever the machine starts; it ends with detour up --uninstall")
	flags.BoolVar(&f.uninstall, "uninstall", false, "end the service that --install made; the machine stays a member")
	flags.StringVar(&f.root, "root", "", "put all files beneath this `directory` instead of /, as when an image is made")
	cobra.CheckErr(flags.MarkHidden("root"))
	cobra.CheckErr(cmd.MarkFlagDirname("root"))
	cmd.MarkFlagsMutuallyExclusive("install", "uninstall")
	cmd.MarkFlagsMutuallyExclusive("install", "json")
}

// once are the flags of up that a service does not have: they are for joining, or for the
// one who types them.
var once = []string{"state", "invite-file", "name", "json", "relay", "invite", "install", "uninstall", "root", "help"}

// carried are the flags that the service has, too.
func carried(flags *pflag.FlagSet) (args []string) {
	flags.Visit(func(f *pflag.Flag) {
		if slices.Contains(once, f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if several, ok := f.Value.(pflag.SliceValue); ok {
			values = several.GetSlice()
		}
		for _, v := range values {
			args = append(args, "--"+f.Name+"="+v)
		}
	})
	return args
}

// unit is what the service is made of. A state file of "" is nobody's.
func (f *upFlags) unit(flags *pflag.FlagSet, stateFile string) unit.Config {
	program, _ := os.Executable()
	cfg := unit.Config{Root: f.root, Name: unit.Member, Unit: f.unitText(), Program: program, Replace: true}
	cfg.Args = append([]string{"up", "--state", stateFile}, carried(flags)...)
	if f.ca != "" {
		cfg.Files = []string{f.ca}
	}
	return cfg
}

// unitText is the unit, with the rights that the flags ask for.
func (f *upFlags) unitText() string {
	var rights []string
	text := dist.MemberUnit
	if f.userspace {
		text = strings.NewReplacer(
			"# To make the interface of the tunnel, and its routes.\n", "", "DevicePolicy=closed\nDeviceAllow=/dev/net/tun rw\n", "PrivateDevices=yes\n",
		).Replace(text)
	} else {
		rights = append(rights, "CAP_NET_ADMIN")
	}
	if f.bindsLow() {
		rights = append(rights, "CAP_NET_BIND_SERVICE")
	}
	return strings.ReplaceAll(text, "=CAP_NET_ADMIN\n", "="+strings.Join(rights, " ")+"\n")
}

// bindsLow reports whether a port of this machine is one that not everybody may have.
func (f *netFlags) bindsLow() bool {
	addresses := []string{f.socks, net.JoinHostPort("", strconv.Itoa(int(f.port)))}
	for _, forward := range f.forwards {
		addresses = append(addresses, forward.Listen)
	}
	return slices.ContainsFunc(addresses, func(a string) bool {
		_, text, _ := net.SplitHostPort(a)
		port, err := strconv.Atoi(text)
		return err == nil && port > 0 && port <= mostPrivileged
	})
}

// install joins, and tries out what the service is to do, so that whoever is there sees
// what is wrong. Then it makes the service.
func install(cmd *cobra.Command, f *upFlags, args []string) error {
	ctx := cmd.Context()
	if err := f.check(); err != nil {
		return err
	}
	if err := f.absolute(); err != nil {
		return err
	}
	if err := unit.Check(f.unit(cmd.Flags(), "")); err != nil {
		return explainService(err)
	}
	invite, err := f.joinFlags.invite(ctx, cmd.InOrStdin(), args)
	if err != nil {
		return endOf(ctx, err)
	}
	stateFile, err := f.serviceState(invite)
	if err != nil {
		return err
	}
	cfg := f.unit(cmd.Flags(), stateFile)
	switch runs := cfg.Runs(ctx); {
	case runs && invite != "":
		return cli.Usagef("the service is a member already: end it first (detour up --uninstall), or leave the invite out to give it other flags")
	case !runs:
		if err := f.try(cmd, stateFile, invite); err != nil || ctx.Err() != nil {
			return err
		}
	}
	if err := makeService(ctx, cmd.OutOrStdout(), cfg); err != nil || !f.pairFlags.invite {
		return err
	}
	return f.askToken(cmd, f.root+stateFile)
}

// absolute has the files that are named found from anywhere.
func (f *upFlags) absolute() (err error) {
	if f.ca != "" {
		f.ca, err = filepath.Abs(f.ca)
	}
	return err
}

// serviceState is where the service has its state.
func (f *upFlags) serviceState(invite string) (path string, err error) {
	switch {
	case f.state != "" && filepath.Dir(f.state) != serviceDir:
		return "", cli.Usagef("--state %s: the service has its state in %s: leave --state out, or move the file there", f.state, serviceDir)
	case f.state != "":
		return f.state, nil
	case invite != "" && !isToken(invite):
		return pathOf(serviceDir, invite)
	}
	path, err = f.pairPathIn(f.root+serviceDir, invite, isToken(invite))
	return strings.TrimPrefix(path, f.root), err
}

// try is an up until all of it is there.
func (f *upFlags) try(cmd *cobra.Command, stateFile, invite string) error {
	if err := smallfile.MakeDir(f.root + serviceDir); err != nil {
		return err
	}
	f.state, f.inviteFile, f.trial = f.root+stateFile, "", true
	var args []string
	if invite != "" {
		args = []string{invite}
	}
	return up(cmd, f, args)
}

// makeService makes it, or has it be as the flags say.
func makeService(ctx context.Context, w io.Writer, cfg unit.Config) error {
	i, err := unit.Prepare(ctx, cfg)
	if err != nil {
		return err
	}
	if err := cfg.Give(serviceDir); err != nil {
		return err
	}
	steps, err := i.Install(ctx)
	writeSteps(w, steps)
	if err == nil {
		fmt.Fprintln(w, "  who is there, and how: sudo detour status")
	}
	return err
}

func uninstall(cmd *cobra.Command, f *upFlags) error {
	cfg := f.unit(cmd.Flags(), "")
	if err := unit.Check(cfg); err != nil {
		return explainService(err)
	}
	steps, err := unit.Uninstall(cmd.Context(), cfg)
	writeSteps(cmd.OutOrStdout(), steps)
	return err
}

func writeSteps(w io.Writer, steps []unit.Step) {
	width := cli.PageOf(w).Width
	for _, step := range steps {
		word := "kept"
		if step.Done {
			word = "done"
		}
		io.WriteString(w, cli.Fold(word+"   "+cli.OneLine(step.What), width, 7))
	}
}

// explainService says what to do where there can be no service.
func explainService(err error) error {
	if errors.Is(err, unit.ErrNone) {
		return &failure{err, `leave --install out, and have whatever starts programs here run "detour up"`}
	}
	return err
}
