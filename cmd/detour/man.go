//go:build man

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
)

// newManCommand writes the manual. Only "make release" builds it in, by the tag man:
// the programs that are handed out have no need to carry what makes their pages.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIRECTORY",
		Short:  "Write a page of the manual for each command",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v := cli.ReadVersion()
			date, err := time.Parse(time.RFC3339, v.Time)
			if err != nil {
				return fmt.Errorf("the pages carry the date of the commit, and this program knows none: \"make release\" tells it")
			}
			undated(cmd.Root())
			return doc.GenManTree(cmd.Root(), &doc.GenManHeader{Section: "1", Source: "Detour", Manual: "Detour", Date: &date}, args[0])
		},
	}
}

// undated takes out what says when the pages were made.
func undated(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	for _, sub := range cmd.Commands() {
		undated(sub)
	}
}
