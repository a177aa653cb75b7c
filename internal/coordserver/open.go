package coordserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/mapfeed"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/internal/takeover"
)

// Options are what a coordinator is given besides its settings. Zero fields mean the
// default.
type Options struct {
	// Logger is for what is done and what fails; nil discards.
	Logger *slog.Logger

	// Takeover hands the sockets to another process, and may have those of the one
	// before. Nil: neither.
	Takeover *takeover.Takeover

	// Listener is taken instead of binding the address of Listen. The Server closes it,
	// also if Open fails.
	Listener net.Listener

	// Map is handed out instead of that of Config.Map; nil: that is.
	Map *derpmap.Map

	// Issue opens the source of certificates that an authority issues. Nil: this program
	// has none.
	Issue front.Issue

	// Metrics makes what answers at Config.Front.Metrics. Nil: this program has no metrics.
	Metrics func(state func() State, log *slog.Logger) http.Handler

	// Version is shown to operators.
	Version string

	// Service tells the service manager of this process what the coordinator is doing.
	Service bool

	// Spell says how operators call a setting; nil: by its path.
	Spell func(setting string) string
}

// A Server is one coordinator. Its methods may be called by any goroutine.
type Server struct {
	// Set once.
	options  Options
	config   Config // complete
	log      *slog.Logger
	source   certs.Source               // nil without TLS
	secure   *tls.Config                // of source
	shaking  atomic.Pointer[handshakes] // nil: not yet, or without TLS
	listener *limited
	server   *http.Server
	status   *front.Ops // nil unless asked for, as the next one
	metrics  *front.Metrics
	commands *front.Commands
	feed     *mapfeed.Feed // nil: operators set the map
	maps     *mapfeed.Handler
	look     chan os.Signal // has feed look now

	// beside is done when all ends.
	beside    context.Context
	endBeside context.CancelCauseFunc
	running   sync.WaitGroup
	began     time.Time
	asked     atomic.Uint64 // what operators have
	told      atomic.Bool   // the others know that this process serves
	drained   sync.Once
	stopped   sync.Once
	stopError error // set in stopped

	life front.Life

	mu     sync.Mutex
	engine *engine // guarded by mu; nil: it is not open yet
	taken  bool    // guarded by mu: another process has taken over
}

// Open checks the settings and makes a coordinator of them, sockets included. Nobody is
// answered before Run. An error about a setting is a [*config.Error].
func Open(cfg Config, o Options) (*Server, error) {
	cfg, err := cfg.Complete()
	if err != nil {
		return nil, errors.Join(err, closeGiven(o))
	}
	s := &Server{options: o, config: cfg, log: o.Logger, look: make(chan os.Signal, 1), began: time.Now()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.beside, s.endBeside = context.WithCancelCause(context.Background())
	if err := s.open(); err != nil {
		return nil, errors.Join(cfg.Front.Hide(err), s.Stop(), closeGiven(o))
	}
	return s, nil
}

// closeGiven closes the socket of a coordinator that did not come to be.
func closeGiven(o Options) error {
	if o.Listener == nil {
		return nil
	}
	if err := o.Listener.Close(); !errors.Is(err, net.ErrClosed) { // whoever had it has closed it already
		return err
	}
	return nil
}

// open makes everything that can fail, in the order in which a person would want to
// hear about it.
func (s *Server) open() (err error) {
	if s.source, err = front.OpenIssued(s.config.Front, StateSub, false, s.options.Issue, s.log); err != nil {
		return err
	}
	if s.source != nil {
		s.secure = certs.TLSConfig(s.source, nil)
		withTickets(s.secure)
	}
	if err := s.checkFiles(); err != nil {
		return err
	}
	if err := s.openFeed(); err != nil {
		return err
	}
	if s.status, err = front.NewOps(s.options.Takeover, "admin", s.config.Front.Admin, s.log); err != nil {
		return err
	}
	pages, err := newLooker(s, front.Pages{{Path: "/healthz", Serve: front.Healthy}, {Path: "/readyz", Serve: s.serveReady}, {Path: "/status", Serve: s.serveStatus}})
	if err != nil {
		return err
	}
	s.status.Handle(pages)
	if err := s.openMetrics(); err != nil {
		return err
	}
	if err := s.openCommands(); err != nil {
		return err
	}
	if err := s.openListener(); err != nil {
		return err
	}
	if s.engineWaits() {
		return nil
	}
	return s.openEngine(s.beside)
}

// checkFiles reads the secrets once, so that a wrong one is told at the start.
func (s *Server) checkFiles() error {
	_, err := s.config.engineConfig()
	return err
}

// openMetrics binds the address for Prometheus, or takes it over.
func (s *Server) openMetrics() (err error) {
	cfg := s.config.Front
	if cfg.Metrics != "" && s.options.Metrics == nil {
		return &config.Error{Setting: "metrics", What: "this program has no metrics", Remedy: "leave it out: /status of {admin} has the same numbers"}
	}
	if s.metrics, err = front.OpenMetrics(front.MetricsConfig{Settings: cfg, Secure: s.secure, Takeover: s.options.Takeover, Logger: s.log}); err != nil {
		return err
	}
	if s.options.Metrics != nil {
		s.metrics.Handle(s.options.Metrics(s.State, s.log))
	}
	return nil
}

func (s *Server) openCommands() (err error) {
	s.commands, err = front.OpenCommands(front.CommandsConfig{
		Settings: s.config.Front, Sub: StateSub, Who: "coordinator", InDev: true, Handler: http.HandlerFunc(s.serveCommands), Secure: s.secure,
		Hostname: func() string { return s.config.Front.Hostname }, Leaf: s.leaf,
		Takeover: s.options.Takeover, Spell: s.spell, Logger: s.log,
	})
	return err
}

// spell is how the operator calls settings.
func (s *Server) spell(setting string) string {
	if s.options.Spell != nil {
		return s.options.Spell(setting)
	}
	return setting
}

// certificate is what members are shown; nil without TLS.
func (s *Server) certificate() *certs.Description {
	if s.source == nil {
		return nil
	}
	shown := s.source.Describe()
	return &shown
}

func (s *Server) leaf() *x509.Certificate {
	if shown := s.certificate(); shown != nil {
		return shown.Leaf
	}
	return nil
}

// pin is what members trust a self-signed certificate by; zero: they trust an
// authority, or there is no TLS.
func (s *Server) pin() (p pin.Pin) {
	if s.config.Front.TLS.Mode == config.TLSSelf {
		text, _ := s.source.Trust()
		p, _ = pin.Parse(text)
	}
	return p
}

// url is where members find this coordinator, as far as it can know.
func (s *Server) url() string {
	return front.Address{Hostname: s.config.Front.Hostname, Bound: front.Bound(s.listener.Addr()), Leaf: s.leaf(), TLS: s.source != nil}.URL()
}

// contacts are what invites name.
func (s *Server) contacts() []coordapi.Contact {
	if given, err := s.config.contacts(); err == nil && len(given) > 0 {
		return given
	}
	return []coordapi.Contact{{URL: s.url(), Pin: s.pin().Sum()}}
}
