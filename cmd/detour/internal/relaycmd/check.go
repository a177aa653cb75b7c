package relaycmd

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/acme"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/setup"
)

// A checkReport is what "config check" finds. Its JSON names are stable.
type checkReport struct {
	File     string    `json:"file"` // empty: there is none
	OK       bool      `json:"ok"`
	Findings []finding `json:"findings"`
}

type finding struct {
	Level   daemon.Level `json:"level"`
	Setting string       `json:"setting"` // empty: none in particular
	From    string       `json:"from"`    // where the setting comes from: a place in the file, $VARIABLE, --flag or default
	Text    string       `json:"text"`
	Ways    []string     `json:"ways,omitempty"` // to choose from
}

func newCheck() *cobra.Command {
	var f settingFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [FILE|-]",
		Short: "Look whether settings fit together, and to this machine",
		Long: `Look at settings as "detour relay --config FILE" would, then at the machine: whether
certificates, keys, lists and tokens can be read and used, whether the certificate is
for the name, and whether the addresses are free; if an authority issues the
certificate, also whether the name leads to this machine, whether that authority
answers, and what it has issued. All that is wrong is told, each with
its place and what to do. Nothing is made or changed, and a relay that runs goes on.

Without FILE it looks at what "detour relay" would run with: ` + DefaultFile + `
and the environment. It takes the flags of "detour relay", too.

Exit status: 0 fine, 1 something is wrong, 2 wrong usage.`,
		Example: `  detour config check
  detour config check relay.yaml
  detour config check --json - <relay.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && f.file != "" {
				return cli.Usagef("%s and --config %s: name one file", args[0], f.file)
			}
			if len(args) > 0 {
				f.file, f.named = args[0], true
			}
			f.stdin = cmd.InOrStdin()
			report := newCheckReport(cmd, f.load())
			if err := report.print(cmd.OutOrStdout(), asJSON); err != nil {
				return err
			}
			if !report.OK {
				return cli.SaidBad()
			}
			return nil
		},
	}
	f.defineHidden(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// newCheckReport looks at the machine only where the settings themselves can be read.
func newCheckReport(cmd *cobra.Command, l *config.Loaded) checkReport {
	r := checkReport{File: l.File, OK: true, Findings: []finding{}}
	for _, p := range l.Problems {
		r.add(finding{Level: daemon.Wrong, Setting: p.Setting, From: p.Origin.String(), Text: p.Text})
	}
	if !r.OK {
		return r
	}
	world := setup.World{Lookup: setup.Lookup, Own: setup.Own, Authority: acme.LetsEncrypt}
	for _, f := range append(daemon.Check(cmd.Context(), l.Config), checkIssued(cmd.Context(), l.Config, world)...) {
		from := ""
		if f.Err.Setting != "" {
			from = l.At(f.Err.Setting).String()
		}
		text, ways := f.Err.Lines(l.Spell)
		r.add(finding{f.Level, f.Err.Setting, from, text, ways})
	}
	return r
}

func (r *checkReport) add(f finding) {
	r.Findings = append(r.Findings, f)
	r.OK = r.OK && f.Level != daemon.Wrong
}

func (r *checkReport) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return cli.WriteJSON(w, r)
	}
	var b strings.Builder
	wrong := 0
	for _, f := range r.Findings {
		from := ""
		if strings.Contains(f.From, ":") || f.Level == daemon.Wrong && f.From == r.File && r.File != "" {
			from = f.From + ": "
		}
		fmt.Fprintf(&b, "%-5s  %s%s\n", f.Level, from, cli.OneLine(f.Text))
		for _, way := range f.Ways {
			fmt.Fprintf(&b, "         %s\n", way)
		}
		if f.Level == daemon.Wrong {
			wrong++
		}
	}
	b.WriteString(r.verdict(wrong))
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *checkReport) verdict(wrong int) string {
	name := r.File
	if name == "" {
		name = "the settings"
	}
	if wrong > 0 {
		return fmt.Sprintf("%s: %s\n", name, cli.Counted(wrong, "error"))
	}
	by := ""
	if os.Geteuid() == 0 {
		by = " (looked at as root, who may read everything)"
	}
	return fmt.Sprintf("%s: ok%s\n", name, by)
}
