package daemon

import (
	"bytes"
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/config"
)

// An opsServer answers an operator of this machine beside the relay: profiles of
// the running program, or its state. A nil one does nothing.
type opsServer struct {
	listener net.Listener
	server   *http.Server
	host     string // of the address that was asked for
}

// openOps binds the addresses for operators, or takes them over.
func (d *Daemon) openOps(cfg config.Config) (err error) {
	if d.status, err = d.newOps("admin", cfg.Admin); err != nil {
		return err
	}
	d.profiles, err = d.newOps("pprof", cfg.Pprof)
	return err
}

// newOps returns nil for an empty address.
func (d *Daemon) newOps(setting, address string) (*opsServer, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := d.opsListener(setting, address)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(address)
	return &opsServer{listener, &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          d.netLog(),
	}, host}, nil
}

// opsListener binds an address, or takes it over.
func (d *Daemon) opsListener(setting, address string) (net.Listener, error) {
	name := socketName(setting, address)
	listener, err := d.options.Takeover.Listener(name)
	if listener == nil && err == nil {
		if listener, err = net.Listen("tcp", address); err == nil {
			err = d.options.Takeover.Keep(name, listener)
		}
	}
	if err != nil {
		return nil, cannotListen(setting, err)
	}
	return listener, nil
}

// netLog is for what net/http has to say.
func (d *Daemon) netLog() *log.Logger { return log.New(&sparse{to: d.log}, "", 0) }

// sparse logs what net/http has to say: a line a minute as a warning, and what is
// more for who looks closely. Where no descriptor is left, each server says so again
// and again.
type sparse struct {
	to *slog.Logger

	mu   sync.Mutex
	next time.Time // guarded by mu; from when on a line is a warning
}

const sparsely = time.Minute

// Write is called by a log.Logger, with a line.
func (s *sparse) Write(line []byte) (int, error) {
	s.mu.Lock()
	level := slog.LevelDebug
	if now := time.Now(); !now.Before(s.next) {
		level, s.next = slog.LevelWarn, now.Add(sparsely)
	}
	s.mu.Unlock()
	s.to.Log(context.Background(), level, string(bytes.TrimRight(line, "\n")))
	return len(line), nil
}

// handle says who answers, before anybody is served.
func (s *opsServer) handle(handler http.Handler) {
	if s != nil {
		s.server.Handler = onlyHere(s.host, handler)
	}
}

// onlyHere refuses requests whose Host is a name other than localhost and the one
// given. A page in a browser of this machine can have a name of its own lead here
// (DNS rebinding), and would read the answers; it cannot make the browser send an
// address as Host.
func onlyHere(given string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isHere(r.Host, given) {
			http.Error(w, "this answers to an address or localhost only, not to a name", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isHere(host, given string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	_, err := netip.ParseAddr(host)
	return err == nil || strings.EqualFold(host, "localhost") || host != "" && strings.EqualFold(host, given)
}

// newProfiles answers GET only: that is what go tool pprof asks, and a form on some
// page could send a POST.
func newProfiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

func (s *opsServer) serve(to *slog.Logger) {
	if s == nil {
		return
	}
	err := s.server.Serve(s.listener)
	if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		to.Error("the server for operators ended", "listen", s.listener.Addr().String(), "reason", err)
	}
}

// close ends serving. It may be called more than once, and before serve.
func (s *opsServer) close() error {
	if s == nil {
		return nil
	}
	err := s.server.Close()
	if other := s.listener.Close(); !errors.Is(other, net.ErrClosed) {
		err = errors.Join(err, other) // the server had not begun yet
	}
	return err
}

// addr returns where it answers; empty: nowhere.
func (s *opsServer) addr() string {
	if s == nil {
		return ""
	}
	return s.listener.Addr().String()
}
