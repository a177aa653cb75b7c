package main

import (
	"io"
	"log/slog"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
)

// What commands share is in package cli. These names are what the commands that have not gone over to it
// know it by.

const (
	exitFine       = cli.ExitFine
	exitBad        = cli.ExitBad
	exitUsage      = cli.ExitUsage
	exitUnanswered = cli.ExitUnanswered
)

func usagef(format string, args ...any) error      { return cli.Usagef(format, args...) }
func unansweredf(format string, args ...any) error { return cli.Unansweredf(format, args...) }
func saidBad() error                               { return cli.SaidBad() }
func exitStatus(err error) int                     { return cli.ExitStatus(err) }
func counted(n int, what string) string            { return cli.Counted(n, what) }
func replaceFile(path string, text []byte) error   { return cli.ReplaceFile(path, text) }

func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	return cli.NewLogger(w, format, level)
}
