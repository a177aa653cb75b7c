package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/mapfeed"
	"github.com/detour-relay/detour/internal/notify"
	"github.com/detour-relay/detour/internal/reach/errno"
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

// stopPatience bounds the end of what has been told to end.
const stopPatience = 10 * time.Second

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
			if err := f.complete(args[0], cmd.Flags().Changed("interval")); err != nil {
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
	cli.Complete(cmd, "log-format", "auto", "text", "json")
	cli.Complete(cmd, "log-level", "debug", "info", "warn", "error")
	f.in.define(cmd)
}

// complete checks the flags and fills in what follows from the map's name.
func (f *serveFlags) complete(name string, intervalGiven bool) error {
	if err := checkListen(f.listen); err != nil {
		return cli.Usagef("--listen %w", err)
	}
	switch {
	case f.interval < 0 || f.interval > 0 && f.interval < time.Millisecond:
		return cli.Usagef("--interval %v: want 1ms or more, or 0 for never", f.interval)
	case name == mapfeed.Stdin && f.interval > 0:
		return cli.Usagef("--interval: standard input can be read only once: put the map into a file")
	case intervalGiven || name == mapfeed.Stdin:
	case mapfeed.IsURL(name):
		f.interval = urlInterval
	default:
		f.interval = fileInterval
	}
	return nil
}

// checkListen says what is wrong with a listen address.
func checkListen(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q: want host:port, such as 127.0.0.1:8080, or :8080 for every address", address)
	}
	if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		return fmt.Errorf("%q: no such port: want a number from 0 to 65535", address)
	}
	return nil
}

func (f *serveFlags) serve(cmd *cobra.Command, name string) error {
	log, err := cli.NewLogger(cmd.ErrOrStderr(), f.logFormat, f.logLevel)
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from before anybody is told that we are ready
	defer signal.Stop(hangup)
	if name == mapfeed.Stdin {
		hangup = nil // there is nothing to read again
	}
	handler := new(mapfeed.Handler)
	feed, err := f.feed(cmd, name, handler, log, hangup)
	if err != nil {
		return err
	}
	first, err := feed.Open(cmd.Context())
	if err != nil {
		return explainRefusal(cmd.ErrOrStderr(), err)
	}
	listener, err := listenForMaps(f.listen)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), mapBanner(first.Name, handler.Map(), listener.Addr())); err != nil {
		return errors.Join(err, listener.Close())
	}
	return mapfeed.Serve(cmd.Context(), mapfeed.ServerConfig{
		Listener: listener, Handler: handler, Feed: feed, Logger: log, Timeout: stopPatience,
		Ready: func() { notify.Ready(log) }, Stopping: func() { notify.Stopping(log) },
	})
}

func (f *serveFlags) feed(
	cmd *cobra.Command, name string, handler *mapfeed.Handler, log *slog.Logger, hangup <-chan os.Signal,
) (*mapfeed.Feed, error) {
	source, err := f.in.source(cmd, name)
	if err != nil {
		return nil, err
	}
	read := func(ctx context.Context) (mapfeed.Text, error) {
		t, err := source.Read(ctx)
		if err != nil {
			err = unreadMap(name, f.in.caFile != "", err)
		}
		return t, err
	}
	return mapfeed.NewFeed(mapfeed.FeedConfig{
		Read: read, Whole: source.Whole(), Force: f.force, Handler: handler, Logger: log, Interval: f.interval, Hangup: hangup,
		Reloading: func() { notify.Reloading(log) }, Ready: func() { notify.Ready(log) },
	})
}

// mapBanner is what a map server prints when it begins to serve.
func mapBanner(name string, m *derpmap.Map, listens net.Addr) string {
	addr, _ := netip.ParseAddrPort(listens.String())
	if addr.Addr().IsUnspecified() {
		addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	}
	text := fmt.Sprintf("Serving %s: %s, %s.\n", name, cli.Counted(len(m.IDs()), "region"), cli.Counted(m.NodeCount(), "node"))
	for _, form := range mapfeed.Forms {
		text += fmt.Sprintf("  http://%s/derpmap.%s\n", addr, form)
	}
	return text
}

func listenForMaps(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, errno.BindError(err, "stop what listens there, or choose another address with --listen")
	}
	return listener, nil
}

// explainRefusal prints all that is wrong with a map that is not served.
func explainRefusal(stderr io.Writer, err error) error {
	refused, ok := errors.AsType[*mapfeed.Refusal](err)
	if !ok {
		return err
	}
	if len(refused.Findings) == 1 && !refused.Forcible {
		return err
	}
	for _, finding := range refused.Findings {
		fmt.Fprintf(stderr, "%s:%v\n", refused.Name, finding)
	}
	remedy := "correct the map, or serve it all the same with --force"
	if !refused.Forcible {
		remedy = "correct it: there is no map to serve before"
	}
	return fmt.Errorf("%s has %s: %s", refused.Name, cli.Counted(len(refused.Findings), "error"), remedy)
}
