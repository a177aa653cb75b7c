package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/internal/edge"
)

// How often another map is looked for, unless a flag says it.
const (
	fileInterval = time.Second
	urlInterval  = 5 * time.Minute
)

type serveFlags struct {
	in        mapInput
	listen    string
	interval  time.Duration
	force     bool
	logFormat string
	logLevel  string
}

func newMapServeCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve MAP",
		Short: "Serve a map over HTTP",
		Long: `Serve a map over HTTP, for control servers and other programs, until SIGTERM or
SIGINT.

  /derpmap.json, /derpmap.hujson, /derpmap.yaml   in this form
  /derpmap, /                                     in the form of ?form=, else as
                                                  Accept says, else as JSON
  ?tailnet=NAME                                   with the nodes in the order for
                                                  this tailnet (see map order)

Answers have an ETag, and who has the map already is told only so (304). When
the file changes, the new map is served, with SIGHUP at once; if lint finds an
error in it, the old one stays, and the log says what is wrong.
` + mapHelp + `

Exit status: 0 ended by a signal, 1 the map is not fit to be served, or serving
failed, 2 wrong usage, 3 the map cannot be read or fetched.`,
		Example: `  detour map serve derp.yaml
  detour map serve derp.yaml --listen :8080`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.settle(args[0], cmd.Flags().Changed("interval")); err != nil {
				return err
			}
			return f.serve(cmd, args[0])
		},
	}
	f.define(cmd)
	return cmd
}

func (f *serveFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8080", "`address` to listen on, host:port; port 0 takes any free one")
	flags.DurationVar(&f.interval, "interval", 0, "look for a new map so often; 0: only on SIGHUP (default 1s for a file, 5m for a URL)")
	flags.BoolVar(&f.force, "force", false, "serve the map also if lint finds errors in it")
	flags.StringVar(&f.logFormat, "log-format", "auto", "`format` of the log on standard error: auto, text or json")
	flags.StringVar(&f.logLevel, "log-level", "info", "least `level` to log: debug, info, warn or error")
	completeFlag(cmd, "log-format", "auto", "text", "json")
	completeFlag(cmd, "log-level", "debug", "info", "warn", "error")
	f.in.define(cmd)
}

// settle checks the flags and fills in what follows from the map's name.
func (f *serveFlags) settle(name string, intervalGiven bool) error {
	if err := edge.CheckListen(f.listen); err != nil {
		return usagef("--listen %w", err)
	}
	switch {
	case f.interval < 0 || f.interval > 0 && f.interval < time.Millisecond:
		return usagef("--interval %v: want 1ms or more, or 0 for never", f.interval)
	case name == stdinArg && f.interval > 0:
		return usagef("--interval: standard input can be read only once: put the map into a file")
	case intervalGiven || name == stdinArg:
	case isURL(name):
		f.interval = urlInterval
	default:
		f.interval = fileInterval
	}
	return nil
}

func (f *serveFlags) serve(cmd *cobra.Command, name string) error {
	log, err := newLogger(cmd.ErrOrStderr(), f.logFormat, f.logLevel)
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from before anybody is told that we are ready
	defer signal.Stop(hangup)
	if name == stdinArg {
		hangup = nil // there is nothing to read again
	}
	s := &mapServer{log: log, interval: f.interval, hangup: hangup, patience: stopPatience}
	s.feed = &mapFeed{whole: isURL(name), force: f.force, handler: &s.handler, log: log}
	s.feed.read = func(ctx context.Context) (mapText, error) {
		return readMap(ctx, cmd.InOrStdin(), name, f.in.form())
	}
	source, err := s.feed.open(cmd.Context())
	if err != nil {
		return explainRefusal(cmd.ErrOrStderr(), err)
	}
	if s.listener, err = listenForMaps(f.listen); err != nil {
		return err
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), s.banner(source.name)); err != nil {
		return errors.Join(err, s.listener.Close())
	}
	return s.run(cmd.Context())
}

func listenForMaps(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, addressInUse) {
		err = fmt.Errorf("%w: stop what listens there, or choose another address with --listen", err)
	}
	return listener, err
}

// explainRefusal prints all that is wrong with a map that is not served.
func explainRefusal(stderr io.Writer, err error) error {
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		return err
	}
	for _, finding := range refused.findings {
		fmt.Fprintf(stderr, "%s:%v\n", refused.name, finding)
	}
	return fmt.Errorf("%s has %s: correct the map, or serve it all the same with --force", refused.name, counted(len(refused.findings), "error"))
}
