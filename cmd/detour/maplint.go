package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/mapfeed"
)

type lintFlags struct {
	in     mapInput
	public bool
	local  bool
	strict bool
	asJSON bool
}

func newMapLintCommand() *cobra.Command {
	var f lintFlags
	cmd := &cobra.Command{
		Use:   "lint MAP...",
		Short: "Say what is wrong with maps, and what to do about it",
		Long: `Say what is wrong with maps, and what to do about it.

An error is something that makes clients refuse the map, or do something else
than it seems to say; a warning something that works, but probably not as it was
meant, or not for every client. Each has a code that stays the same from release
to release.
` + mapHelp + `

Exit status: 0 no errors, 1 errors (with --strict also warnings), 2 wrong usage,
3 a map cannot be read or fetched.`,
		Example: `  detour map lint derp.yaml
  detour map lint --strict --json policy.hujson https://maps.example/derp.json
  detour map lint --public https://login.tailscale.com/derpmap/default`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkStdinOnce(args); err != nil {
				return err
			}
			return f.lint(cmd, args)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.strict, "strict", false, "warnings count as errors do for the exit status")
	flags.BoolVar(&f.public, "public", false, "the maps are a provider's: IDs outside 900-999 are as they should be")
	flags.BoolVar(&f.local, "local", false, "the maps are for one machine only: loopback addresses are as they should be")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON: a list of the maps with their findings")
	f.in.define(cmd)
	return cmd
}

// A lintReport is what was found in one map. The JSON names are stable.
type lintReport struct {
	File     string            `json:"file"`
	Unread   string            `json:"unread,omitempty"` // why it could not be read; nothing was looked for then
	Errors   int               `json:"errors"`
	Warnings int               `json:"warnings"`
	Findings []derpmap.Finding `json:"findings"`
}

func newLintReport(source mapfeed.Text, cfg derpmap.LintConfig) lintReport {
	r := lintReport{File: source.Name, Findings: []derpmap.Finding{}}
	cfg.Form = source.Form
	r.Findings = append(r.Findings, derpmap.Lint(source.Data, cfg)...)
	r.Errors = len(derpmap.Errors(r.Findings))
	r.Warnings = len(r.Findings) - r.Errors
	return r
}

// lint looks at all maps, also after one that cannot be read.
func (f *lintFlags) lint(cmd *cobra.Command, names []string) error {
	var reports []lintReport
	var unread []string
	for _, name := range names {
		source, err := f.in.read(cmd, name)
		switch {
		case cli.ExitStatus(err) == cli.ExitUsage:
			return err
		case err != nil:
			unread = append(unread, err.Error())
			reports = append(reports, lintReport{File: source.Name, Unread: err.Error(), Findings: []derpmap.Finding{}})
		default:
			reports = append(reports, newLintReport(source, derpmap.LintConfig{Public: f.public, Local: f.local}))
		}
	}
	if err := f.print(cmd.OutOrStdout(), reports); err != nil {
		return err
	}
	if unread != nil {
		return cli.Unansweredf("%s", strings.Join(unread, "; "))
	}
	return f.verdict(reports)
}

func (f *lintFlags) print(w io.Writer, reports []lintReport) error {
	if f.asJSON {
		return json.NewEncoder(w).Encode(reports)
	}
	_, err := io.WriteString(w, lintText(reports))
	return err
}

// lintText has a line for each finding, which begins as editors like to have it,
// file:line:column, and a summary of what was read.
func lintText(reports []lintReport) string {
	var text strings.Builder
	read, errors, warnings := 0, 0, 0
	for _, r := range reports {
		for _, finding := range r.Findings {
			fmt.Fprintf(&text, "%s:%v\n", r.File, finding)
		}
		if r.Unread == "" {
			read++
		}
		errors += r.Errors
		warnings += r.Warnings
	}
	if read > 0 {
		fmt.Fprintf(&text, "%s: %s, %s\n", cli.Counted(read, "map"), cli.Counted(errors, "error"), cli.Counted(warnings, "warning"))
	}
	return text.String()
}

// verdict is nil if all maps are as they should be.
func (f *lintFlags) verdict(reports []lintReport) error {
	for _, r := range reports {
		if r.Errors > 0 || f.strict && r.Warnings > 0 {
			return cli.SaidBad()
		}
	}
	return nil
}
