// Command release makes all that is handed out of a commit: archives of static programs,
// packages for Debian and for rpm, images, what is in them, and their checksums. "make
// release" runs it.
//
// The same commit and the same Go make the same bytes, wherever and whenever: no clock but
// the commit's is asked, and no path of the machine gets in.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := command(os.Args[1:])
	if err == flag.ErrHelp {
		return
	}
	if err == nil {
		err = r.make(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// command is what a command line asks for.
func command(args []string) (*release, error) {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	dir := flags.String("source", "../..", "the `directory` of the clone")
	out := flags.String("out", "../../dist/out", "the `directory` to fill; what an earlier release has made there goes")
	version := flags.String("version", "", "the `version`, such as v0.9.0 (default: the commit's tag, else one that sorts before the next)")
	platforms := flags.String("platforms", strings.Join(all, " "), "the `list` of system/processor to make")
	dirty := flags.Bool("dirty", false, "take a tree with changes; its version says so")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%q is too much: there are flags only (--help)", flags.Arg(0))
	}
	wanted, err := parsePlatforms(*platforms)
	if err != nil {
		return nil, fmt.Errorf("--platforms: %w", err)
	}
	s, err := readSource(*dir, *version, *dirty)
	if err != nil {
		return nil, err
	}
	return &release{source: s, out: *out, platforms: wanted}, nil
}
