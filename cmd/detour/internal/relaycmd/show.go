package relaycmd

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
)

// A shown is a setting with its effective value. Its JSON names are stable.
type shown struct {
	Setting string `json:"setting"`
	Value   string `json:"value"`             // as a flag takes it; passwords are masked
	Follows string `json:"follows,omitempty"` // what an empty value means
	From    string `json:"from"`              // file:line:column, $VARIABLE, --flag or default
}

func newShow() *cobra.Command {
	var f settingFlags
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the settings in effect, and where each comes from",
		Long: `Print what a relay would run with that was started like this: its settings, and
where each of them comes from. It takes the flags of "detour relay". Passwords are
not shown, nor what a URL with a secret has behind its host.

Without --all it leaves out what is as it is by default.`,
		Example: `  detour config show
  detour config show --config relay.yaml --drain 30s --all
  detour config show --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.stdin = cmd.InOrStdin()
			l := f.load()
			if err := l.Err(); err != nil {
				return unusable(l)
			}
			complete, err := daemon.Complete(l.Config, nil)
			if printError := printSettings(cmd.OutOrStdout(), settingsOf(l, complete, all || asJSON), asJSON); printError != nil {
				return printError
			}
			return spelt(l, err) // the values are shown all the same
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.defineHidden(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with all settings")
	cmd.Flags().BoolVar(&all, "all", false, "print all settings")
	return cmd
}

// settingsOf are those in effect; without all only those that somebody gives.
func settingsOf(l *config.Loaded, c config.Config, all bool) []shown {
	list := []shown{}
	for _, s := range config.Table() {
		from := l.Origin(s.Path)
		if from == (config.Origin{}) && !all {
			continue
		}
		row := shown{Setting: s.Path, Value: s.Shown(c), From: from.String()}
		if row.Value == "" || s.Follows != "" && row.Value == s.Text(config.Defaults()) {
			row.Follows = s.Default(l.Spell)
		}
		list = append(list, row)
	}
	return list
}

func printSettings(w io.Writer, list []shown, asJSON bool) error {
	if asJSON {
		return cli.WriteJSON(w, list)
	}
	var b strings.Builder
	name, value := 0, 0
	for _, s := range list {
		name, value = max(name, len(s.Setting)), max(value, min(len(s.text()), 48))
	}
	for _, s := range list {
		fmt.Fprintf(&b, "%-*s  %-*s  %s\n", name, s.Setting, value, s.text(), s.From)
	}
	if len(list) == 0 {
		b.WriteString("Nothing is given: all settings are as they are by default (--all shows them).\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s shown) text() string {
	if s.Follows != "" {
		return "(" + s.Follows + ")"
	}
	return cmp.Or(s.Value, "-")
}
