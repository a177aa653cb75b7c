package main

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// A sideServer answers an operator of this machine beside the relay: profiles of
// the running program, or its state. A nil one does nothing.
type sideServer struct {
	listener net.Listener
	server   *http.Server
}

func newSideServer(listener net.Listener, handler http.Handler) *sideServer {
	return &sideServer{listener, &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}}
}

func newProfiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func (s *sideServer) serve(log *slog.Logger) {
	if s == nil {
		return
	}
	err := s.server.Serve(s.listener)
	if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		log.Error("the server for operators ended", "listen", s.listener.Addr().String(), "reason", err)
	}
}

// close ends serving. It may be called more than once, and before serve.
func (s *sideServer) close() error {
	if s == nil {
		return nil
	}
	err := s.server.Close()
	if other := s.listener.Close(); !errors.Is(other, net.ErrClosed) {
		err = errors.Join(err, other) // the server had not begun yet
	}
	return err
}
