// Command natlab has two laptops with detour up find direct paths to each other, in
// network namespaces of this machine with NATs of nftables between them, and prints one
// table of what was expected and what was found.
//
//	sudo go run . [-runs 3] [-only REGEXP] [-long]
//
// # The words
//
//   - world: an Internet of one scenario, with a relay, a coordinator, and networks.
//   - place: one of these networks, with the router that it is behind.
//   - cone: a NAT where a host has one port outside, whoever it sends to. A full cone
//     lets everybody send to that; an address cone, those addresses that were sent to; a
//     port cone, those ports of them. A symmetric one has a port for each destination.
//   - lost: of packets that flow through the tunnel, 100 a second each way, those that
//     have not come. In the first column, from the very first one until 3 s after the
//     path was found, so across the change from the relay to UDP.
//   - flap: the address that packets go to has changed without a reason.
//
// Before the laptops come up, each NAT is proven to be what it is called, by probes that
// know nothing of detour.
//
// It takes root on Linux, and ip, nft and conntrack. Times are reported, and not
// judged. Exit status: 0 all is as expected, 1 it is not, 2 wrong usage.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// longHold is for how long two that cannot find each other are watched: with -long, ten
// minutes.
const (
	longHold = time.Minute
	veryLong = 10 * time.Minute
)

type options struct {
	program string
	runs    int // of scenarios where a path is found
	beside  int
	only    *regexp.Regexp
	long    bool
	logs    string
}

func main() {
	var o options
	flag.StringVar(&o.program, "detour", "", "the `program`; empty: it is built")
	flag.IntVar(&o.runs, "runs", 3, "how `often` each scenario where a path is found is run")
	flag.IntVar(&o.beside, "beside", 5, "how `many` scenarios run at a time")
	only := flag.String("only", "", "scenarios whose names match this `expression`")
	flag.BoolVar(&o.long, "long", false, "watch for 10 min whether two that cannot find each other flap, instead of 1 min")
	flag.StringVar(&o.logs, "logs", "", "keep what the programs say in this `directory`")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(*only); err != nil || flag.NArg() > 0 || o.runs < 1 || o.beside < 1 {
		fmt.Fprintln(os.Stderr, "natlab: wrong usage; see -help:", err, flag.Args())
		os.Exit(2)
	}
	// A machine that has other things to do costs no packets then. Who may not goes on
	// without.
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, -10)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(lab(ctx, o))
}

func lab(ctx context.Context, o options) int {
	if o.program == "" {
		dir, err := os.MkdirTemp("", "natlab-")
		if err == nil {
			defer os.RemoveAll(dir)
			o.program = filepath.Join(dir, "detour")
			err = build(ctx, o.program)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "natlab:", err)
			return 1
		}
	}
	var chosen []scenario
	for _, s := range scenarios {
		if s.hold == longHold && o.long {
			s.hold = veryLong
		}
		if o.only.MatchString(s.name) {
			chosen = append(chosen, s)
		}
	}
	return report(os.Stdout, chosen, runAll(ctx, o, chosen))
}

func build(ctx context.Context, program string) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/detour")
	build.Dir, build.Stderr = filepath.Join("..", ".."), os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("%v: %w", build, err)
	}
	return nil
}

func runAll(ctx context.Context, o options, chosen []scenario) []*result {
	results := make([]*result, len(chosen))
	turns := make(chan struct{}, o.beside)
	var running sync.WaitGroup
	for _, i := range longestFirst(chosen) {
		turns <- struct{}{}
		running.Go(func() {
			defer func() { <-turns }()
			begun := time.Now()
			results[i] = chosen[i].run(ctx, o, fmt.Sprintf("nl%d-%d-", os.Getpid(), i))
			fmt.Fprintf(os.Stderr, "%-28s %4.0f s, %d differences\n", chosen[i].name, time.Since(begun).Seconds(), len(results[i].errs))
		})
	}
	running.Wait()
	return results
}
