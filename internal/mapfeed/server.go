package mapfeed

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// ServerConfig says what a server serves and where. Listener and Handler are
// required.
type ServerConfig struct {
	Listener net.Listener
	Handler  *Handler
	Feed     *Feed         // nil: the map never changes
	Logger   *slog.Logger  // nil: none; it also gets what net/http has to say, at level debug
	Timeout  time.Duration // at the end, for answers that nobody reads

	// Ready and Stopping are called when the server answers and when it begins to
	// end; nil: nobody wants to know.
	Ready, Stopping func()
}

// Serve answers until ctx is done, and then still those who have asked.
func Serve(ctx context.Context, cfg ServerConfig) error {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	server := &http.Server{
		Handler:           cfg.Handler,
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	background, endBackground := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer endBackground()
	if cfg.Feed != nil {
		running.Go(func() { cfg.Feed.Watch(background) })
	}
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(cfg.Listener) }()
	log.Info("map server started", "listen", cfg.Listener.Addr().String(), "pid", os.Getpid())
	call(cfg.Ready)
	select {
	case err := <-serving:
		return err
	case <-ctx.Done():
	}
	call(cfg.Stopping)
	err := stop(server, cfg.Timeout, log)
	<-serving
	log.Info("map server stopped")
	return err
}

// stop waits for answers that are under way, but not for those who do not read them.
func stop(server *http.Server, timeout time.Duration, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		log.Warn("some answers have not been read to the end")
		return server.Close()
	}
	return err
}
