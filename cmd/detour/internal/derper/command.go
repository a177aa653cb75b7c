package derper

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/relaycmd"
	"github.com/detour-relay/detour/internal/config"
)

// Arguments are those of the command line. A program that is called derper takes
// derper's.
func Arguments(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	if strings.TrimSuffix(filepath.Base(args[0]), ".exe") == "derper" {
		return append([]string{"derper"}, args[1:]...)
	}
	return args[1:]
}

// New returns the command.
func New() *cobra.Command {
	return &cobra.Command{
		Use:   "derper [flags of derper]",
		Short: "Run a relay by the command line of derper",
		Long: `Run a relay by the command line of Tailscale's derper 1.104: each flag does the same
here, or stops with a line that says what to do instead. So does this program where it
is called derper, such as by a link. --help has the flags.

The key of -c is read, and made if it is missing, but never written again. Settings that
derper has no flag for can be given by the environment (DETOUR_...); no file of settings
is read. --print-config prints the file for "detour relay" that does the same.
docs/from-derper.md says what is different.`,
		Example: `  detour derper -a :443 -hostname relay.example -certmode manual -certdir /certs -verify-clients
  detour derper --print-config -hostname relay.example -certmode manual -certdir /certs > relay.yaml
  ln -s detour /usr/local/bin/derper`,
		DisableFlagParsing:    true, // derper has the flags of Go's package
		DisableFlagsInUseLine: true,
		Args:                  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return do(cmd, args)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func do(cmd *cobra.Command, args []string) error {
	l, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return help(cmd.OutOrStdout())
	case err != nil:
		return err
	case l.version:
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "detour %s in place of derper 1.104\n", cli.ReadVersion())
		return err
	}
	as := &relaycmd.Line{Names: names, Settings: func() ([]config.Given, *config.Problem) {
		m, problem := l.means()
		if problem != nil {
			return nil, problem
		}
		return m.settings, nil
	}}
	if !l.printConfig {
		return as.Run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	if err := as.Check(); err != nil {
		return err
	}
	m, problem := l.means()
	if problem != nil {
		return cli.Usagef("%w", problem)
	}
	_, err = io.WriteString(cmd.OutOrStdout(), printed(m))
	return err
}

const fileHead = `# What a command line of derper means to Detour: "detour relay --config FILE".
# "detour config check FILE" looks whether all of it fits this machine.

`

// printed is the file of settings.
func printed(m *meaning) string { return fileHead + config.Write(m.settings, m.remarks) }

// help prints the flags as derper does.
func help(w io.Writer) error {
	var b strings.Builder
	b.WriteString("Usage of derper:\n")
	flags := new(line).flags()
	flags.SetOutput(&b)
	flags.PrintDefaults()
	_, err := io.WriteString(w, b.String())
	return err
}
