// Package port80 answers plain HTTP beside a relay that speaks TLS: the question whether
// a captive portal is in the way, an authority that wants to see who has a name, and all
// others with the way to https. Peers never log in here.
//
// # Limits
//
// Whoever finds the port is a stranger. There are so many connections at once, of which
// the oldest gives way, and each is for one request of a few kilobytes and seconds.
package port80

import (
	"errors"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/edge"
	"github.com/detour-relay/detour/internal/hostname"
)

// Config is what a [Server] is made from.
type Config struct {
	// Listener is closed by the Server. Required.
	Listener net.Listener

	// Challenge answers an authority, and reports whether the request was one of its
	// questions; nil: there is no authority.
	Challenge func(w http.ResponseWriter, r *http.Request) bool

	// Hostname returns where requests without a usable name are sent; empty, or a nil
	// function: they are refused.
	Hostname func() string

	// Port is that of https; 0: the usual one.
	Port uint16

	// MaxConns bounds the connections (default 256).
	MaxConns int

	// Timeout bounds the time of a connection (default 10 s).
	Timeout time.Duration

	// Log gets what net/http has to say.
	Log *log.Logger
}

const (
	defaultConns   = 256
	defaultTimeout = 10 * time.Second
	maxHeader      = 8 << 10
	usualPort      = 443
)

// A Server answers on one listener. A nil one does nothing.
type Server struct {
	config   Config
	listener *crowd
	http     *http.Server
}

// New checks the configuration.
func New(c Config) (*Server, error) {
	if c.Listener == nil {
		return nil, errors.New("port80: Config.Listener is missing")
	}
	if c.MaxConns < 0 || c.Timeout < 0 {
		return nil, errors.New("port80: Config.MaxConns and Timeout cannot be negative")
	}
	if c.MaxConns == 0 {
		c.MaxConns = defaultConns
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	s := &Server{config: c, listener: newCrowd(c.Listener, c.MaxConns)}
	s.http = &http.Server{
		Handler:        http.HandlerFunc(s.answer),
		ReadTimeout:    c.Timeout,
		WriteTimeout:   c.Timeout,
		IdleTimeout:    c.Timeout,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       c.Log,
		Protocols:      new(http.Protocols),
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.SetKeepAlivesEnabled(false)
	return s, nil
}

// Addr is where it listens; empty: nowhere.
func (s *Server) Addr() string {
	if s == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Serve answers until Close; then it returns nil.
func (s *Server) Serve() error {
	if s == nil {
		return nil
	}
	err := s.http.Serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Close ends serving, and all connections. It may be called more than once, and before
// Serve.
func (s *Server) Close() error {
	if s == nil {
		return nil
	}
	err := s.http.Close()
	if other := s.listener.Close(); !errors.Is(other, net.ErrClosed) {
		err = errors.Join(err, other)
	}
	return err
}

// answer takes the questions in the order in which they may not be redirected.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		http.Error(w, "this relay is no proxy", http.StatusForbidden)
	case r.URL.Path == edge.Path204:
		edge.Serve204(w, r)
	case s.config.Challenge != nil && s.config.Challenge(w, r):
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "use https://", http.StatusBadRequest)
	default:
		s.redirect(w, r)
	}
}

// redirect leads to the same path over TLS. It is for now only: browsers would remember
// another one for good.
func (s *Server) redirect(w http.ResponseWriter, r *http.Request) {
	host := hostOf(r.Host)
	if host == "" && s.config.Hostname != nil {
		host = s.config.Hostname()
	}
	if host == "" {
		http.Error(w, "use https://", http.StatusBadRequest)
		return
	}
	path := r.URL.RequestURI()
	if !strings.HasPrefix(path, "/") {
		path = "/"
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", "https://"+s.withPort(host)+path)
	w.WriteHeader(http.StatusFound)
}

// withPort is a host as a URL has it.
func (s *Server) withPort(host string) string {
	if port := s.config.Port; port != 0 && port != usualPort {
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// hostOf is the name that a request was sent to; empty: it is none.
func hostOf(given string) string {
	host := given
	if name, _, err := net.SplitHostPort(given); err == nil {
		host = name
	} else if inner, ok := strings.CutPrefix(given, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
		return addr.String()
	}
	name, err := hostname.Parse(host)
	if err != nil {
		return ""
	}
	return name
}
