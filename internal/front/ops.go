package front

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/takeover"
)

// An Ops answers an operator of this machine beside the server: profiles of the
// running program, or its state. A nil one does nothing.
type Ops struct {
	listener net.Listener
	server   *http.Server
	host     string // of the address that was asked for
	log      *slog.Logger
}

// NewOps binds the address of a setting, or takes it over; it returns nil for an
// empty address.
func NewOps(t *takeover.Takeover, setting, address string, log *slog.Logger) (*Ops, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := ListenOrTake(t, setting, address)
	if err != nil {
		return nil, err
	}
	return opsAt(listener, address, log), nil
}

// opsAt is what answers at a listener; the address is what was asked for.
func opsAt(listener net.Listener, address string, log *slog.Logger) *Ops {
	host, _, _ := net.SplitHostPort(address)
	return &Ops{listener, &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          NetLog(log),
	}, host, log}
}

// Handle says who answers, before anybody is served.
func (s *Ops) Handle(handler http.Handler) {
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

// Serve answers until Close.
func (s *Ops) Serve() {
	if s == nil {
		return
	}
	err := s.server.Serve(s.listener)
	if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		s.log.Error("the server for operators ended", "listen", s.listener.Addr().String(), "reason", err)
	}
}

// Close ends serving. It may be called more than once, and before Serve.
func (s *Ops) Close() error {
	if s == nil {
		return nil
	}
	err := s.server.Close()
	if other := s.listener.Close(); !errors.Is(other, net.ErrClosed) {
		err = errors.Join(err, other) // the server had not begun yet
	}
	return err
}

// Addr returns where it answers; empty: nowhere.
func (s *Ops) Addr() string {
	if s == nil {
		return ""
	}
	return s.listener.Addr().String()
}
