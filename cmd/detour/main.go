// Command detour runs and checks DERP relays: one program, one noun a
// subcommand. It prints answers on standard output and everything else on
// standard error.
//
// Exit status: 0 fine, 1 checked and bad (or the work failed), 2 wrong usage,
// 3 could not check.
package main

import (
	"os"

	"github.com/detour-relay/detour/cmd/detour/internal/derper"
)

func main() {
	os.Exit(run(derper.Arguments(os.Args), os.Stdin, os.Stdout, os.Stderr))
}
