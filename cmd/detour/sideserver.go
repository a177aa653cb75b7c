package main

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// A profiler serves profiles of the running program on a loopback address. A
// nil profiler does nothing.
type profiler struct {
	listener net.Listener
	server   *http.Server
}

// newProfiler binds the address; it is nil for an empty one.
func newProfiler(address string) (*profiler, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return &profiler{listener, &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}}, nil
}

func (p *profiler) serve(log *slog.Logger) {
	if p == nil {
		return
	}
	err := p.server.Serve(p.listener)
	if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		log.Error("profiles are not served any more", "reason", err)
	}
}

// close ends serving. It may be called more than once, and before serve.
func (p *profiler) close() error {
	if p == nil {
		return nil
	}
	err := p.server.Close()
	if other := p.listener.Close(); !errors.Is(other, net.ErrClosed) {
		err = errors.Join(err, other) // the server had not begun yet
	}
	return err
}
