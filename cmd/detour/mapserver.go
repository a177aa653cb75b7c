package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"
)

// A mapServer is all that "detour map serve" runs.
type mapServer struct {
	log      *slog.Logger
	handler  mapHandler
	feed     *mapFeed
	interval time.Duration
	hangup   <-chan os.Signal // gets SIGHUP; nil if it does nothing
	listener net.Listener
	patience time.Duration // at the end, with answers that nobody reads
}

func (s *mapServer) banner(name string) string {
	m := s.handler.current.Load().m
	addr := boundAddr(s.listener.Addr())
	if addr.Addr().IsUnspecified() {
		addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	}
	text := fmt.Sprintf("Serving %s: %s, %s.\n", name, counted(len(m.IDs()), "region"), counted(nodesOf(m), "node"))
	for _, form := range formNames() {
		text += fmt.Sprintf("  http://%s/derpmap.%s\n", addr, form)
	}
	return text
}

// run answers until ctx is done, and then still those who have asked.
func (s *mapServer) run(ctx context.Context) error {
	server := &http.Server{
		Handler:           &s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	beside, endBeside := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer endBeside()
	running.Go(func() { s.feed.watch(beside, s.interval, s.hangup) })

	serving := make(chan error, 1)
	go func() { serving <- server.Serve(s.listener) }()
	s.log.Info("map server started", "listen", s.listener.Addr().String(), "pid", os.Getpid())
	notifyReady(s.log)
	select {
	case err := <-serving:
		return err
	case <-ctx.Done():
	}
	notifyStopping(s.log)
	err := s.end(server)
	<-serving
	s.log.Info("map server stopped")
	return err
}

// end waits for answers that are under way, but not for those who do not read them.
func (s *mapServer) end(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("some answers have not been read to the end")
		return server.Close()
	}
	return err
}
