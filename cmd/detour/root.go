package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/coordcmd"
	"github.com/detour-relay/detour/cmd/detour/internal/derper"
	"github.com/detour-relay/detour/cmd/detour/internal/initcmd"
	"github.com/detour-relay/detour/cmd/detour/internal/membercmd"
	"github.com/detour-relay/detour/cmd/detour/internal/operate"
	"github.com/detour-relay/detour/cmd/detour/internal/relaycmd"
	"github.com/detour-relay/detour/cmd/detour/internal/wgcmd"
	"github.com/detour-relay/detour/internal/text"
)

// run executes one command line and returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once

	started := false
	root := newRootCommand()
	markStart(root, &started)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)

	if err := derper.CheckDashes(root, args); err != nil {
		cmd, _, _ := root.Find(args)
		printError(stderr, cmd, args, err)
		return cli.ExitStatus(err)
	}
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !started {
		err = cli.Refused(err) // by cobra, before any command ran
	}
	if err != nil && err.Error() != "" {
		printError(stderr, cmd, args, err)
	}
	return cli.ExitStatus(err)
}

func newRootCommand() *cobra.Command {
	root := cli.NewGroup("detour", "Relay packets for Tailscale and Headscale networks")
	root.Long = "Detour runs DERP relays, checks them from the outside, and looks after DERP maps."
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.AddCommand(
		initcmd.New(),
		relaycmd.New(),
		derper.New(),
		relaycmd.NewConfig(),
		coordcmd.New(),
		coordcmd.NewNet(),
		newDemoCommand(),
		membercmd.NewUp(),
		membercmd.NewDown(),
		membercmd.NewStatus(),
		wgcmd.New(),
		membercmd.NewJoin(),
		newPingCommand(),
		newNetcheckCommand(),
		newBenchCommand(),
		newCheckCommand(),
		operate.NewClients(),
		operate.NewTop(),
		operate.NewHistory(),
		operate.NewPeers(),
		operate.NewPrune(),
		operate.NewReload(),
		operate.NewDrain(),
		operate.NewPage(),
		operate.NewHealth(),
		operate.NewAccess(),
		newMapCommand(),
		newKeyCommand(),
		newVersionCommand(),
	)
	if man := newManCommand(); man != nil {
		root.AddCommand(man)
	}
	return root
}

// markStart makes every command of the tree record that it was reached, which
// tells its errors from cobra's own about flags and arguments.
func markStart(cmd *cobra.Command, started *bool) {
	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*started = true
			return inner(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		markStart(sub, started)
	}
}

// printError prints one line: which command, what is wrong, and for a wrong
// command line where to read on; then the ways out, if there are several. Multi-line
// texts of libraries are folded.
func printError(w io.Writer, cmd *cobra.Command, args []string, err error) {
	line := text.RedactArguments(strings.Join(strings.Fields(err.Error()), " "), args)
	choice, choose := errors.AsType[*cli.Choice](err)
	if cli.NeedsHelp(err) && !choose {
		line += fmt.Sprintf(" (see %q)", cmd.CommandPath()+" --help")
	}
	fmt.Fprintf(w, "%s: %s\n", cmd.CommandPath(), line)
	if choose {
		for _, way := range choice.Ways {
			fmt.Fprintf(w, "  %s\n", text.RedactArguments(way, args))
		}
	}
}
