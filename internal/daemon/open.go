package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/admit"
	"github.com/detour-relay/detour/internal/bootstrap"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/edge"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/health"
	"github.com/detour-relay/detour/internal/history"
	"github.com/detour-relay/detour/internal/hitters"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/port80"
	"github.com/detour-relay/detour/internal/relaypage"
	"github.com/detour-relay/detour/internal/signin"
	"github.com/detour-relay/detour/internal/takeover"
	"github.com/detour-relay/detour/internal/twin"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// Options are what a relay is given besides its settings. Zero fields mean the
// default.
type Options struct {
	// Logger gets what Config.Log.Level lets through; nil discards.
	Logger *slog.Logger

	// Takeover hands the relay's sockets to another process, and may have those of
	// the one before. Nil: neither.
	Takeover *takeover.Takeover

	// Listener and PacketConn are taken instead of binding the addresses of Listen
	// and STUN. The Daemon closes them, also if Open fails.
	Listener   net.Listener
	PacketConn *net.UDPConn

	// Admit decides who may come in, as relay.Config.Admit, instead of what the settings
	// say. It is not asked about the peers of the relay's own self-check.
	Admit func(context.Context, relay.Applicant) (relay.Admission, error)

	// Load returns the settings anew for ReloadNow: files may have changed. Nil: those
	// that the relay has.
	Load func() (config.Config, error)

	// Format has the Logger write in another of the formats of Config.Log from now on.
	// Nil: it stays as it is.
	Format func(format string)

	// Issue opens the source of certificates that an authority issues. Nil: this program
	// has none.
	Issue front.Issue

	// Metrics makes what answers at Config.Metrics. Nil: this program has no metrics.
	Metrics func(status func() admin.Status, log *slog.Logger) http.Handler

	// Version is shown to operators.
	Version string

	// Service tells the service manager of this process what the relay is doing.
	Service bool

	// Spell says how operators call a setting; nil: by its path.
	Spell func(setting string) string
}

// A Daemon is one relay. Its methods may be called by any goroutine.
type Daemon struct {
	// Set once.
	options    Options
	log        *slog.Logger
	level      *slog.LevelVar
	relay      *relay.Server
	access     *admit.Chain // nil if Options.Admit decides
	budget     budget
	hitters    *hitters.Hitters
	history    *history.History
	ended      atomic.Uint64 // conns that had logged in
	source     *sources
	secure     *tls.Config // of source
	edge       *edge.Server
	closeLoops func()          // ends what reads the connections of edge
	http       *port80.Server  // nil without
	socket     *control.Socket // of the listener, if it is a unix socket
	stun       *stunService    // nil without STUN
	twin       *twin.Link
	mesh       *mesh.Mesh
	health     *health.Health
	status     *front.Ops // nil unless asked for, as the next two
	metrics    *front.Metrics
	profiles   *front.Ops
	control    *front.Commands
	handler    *control.Handler // of control
	own        visitors
	names      *bootstrap.Names

	operators *admin.Handler // what they are shown
	page      *relaypage.Page
	desk      signin.Desk // of page

	meshKeysFrom string // where the first mesh keys are from
	meshKeyCount int

	// beside is done when what runs beside the listener ends; links, which belongs to
	// the goroutines of mesh, ends earlier: when the relay has drained.
	beside     context.Context
	endBeside  context.CancelFunc
	links      sync.WaitGroup
	running    sync.WaitGroup
	linked     context.Context
	unlink     context.CancelFunc
	inUse      context.Context // done when the relay begins to drain
	leave      context.CancelFunc
	toldToGo   context.Context // done when an operator has asked for it
	leaving    context.CancelFunc
	started    chan struct{} // closed when Run has started all there is
	drained    sync.Once
	drainError error // set in drained
	stopped    sync.Once
	stopError  error // set in stopped

	reloading sync.Mutex // held over a reload
	life      front.Life

	mu     sync.Mutex
	config config.Config // guarded by mu; complete
	taken  bool          // guarded by mu: another process has taken over
	reload admin.Reload  // guarded by mu
}

// Open checks the settings and makes a relay of them, sockets included. Nobody is
// answered before Run. An error about a setting is a [*config.Error].
func Open(cfg config.Config, o Options) (*Daemon, error) {
	cfg, err := Complete(cfg, o.Takeover)
	if err != nil {
		return nil, errors.Join(err, closeGiven(o))
	}
	d := &Daemon{options: o, config: cfg, started: make(chan struct{}), closeLoops: func() {}}
	d.log, d.level = leveled(o.Logger, cfg.Log.Level)
	d.beside, d.endBeside = context.WithCancel(context.Background())
	d.linked, d.unlink = context.WithCancel(d.beside)
	d.inUse, d.leave = context.WithCancel(d.beside)
	d.toldToGo, d.leaving = context.WithCancel(d.beside)
	if err := d.open(cfg); err != nil {
		return nil, errors.Join(cfg.Hide(err), d.Stop(), closeGiven(o))
	}
	d.logStart(cfg)
	return d, nil
}

// closeGiven closes the sockets of a relay that did not come to be.
func closeGiven(o Options) (err error) {
	if o.Listener != nil {
		err = o.Listener.Close()
	}
	if o.PacketConn != nil {
		err = errors.Join(err, o.PacketConn.Close())
	}
	if errors.Is(err, net.ErrClosed) { // whoever had it has closed it already
		return nil
	}
	return err
}

// open makes everything that can fail, in the order in which a person would want to
// hear about it.
func (d *Daemon) open(cfg config.Config) error {
	if err := d.checkAccess(cfg); err != nil {
		return err // before anything is made or asked for: this one is for everybody who begins
	}
	identity, err := d.openKeys(cfg)
	if err != nil {
		return err
	}
	if err := d.openRelay(cfg, identity); err != nil {
		return err
	}
	if err := d.openBudget(cfg); err != nil {
		return err
	}
	if err := d.openOps(cfg); err != nil {
		return err
	}
	if err := d.openControl(cfg); err != nil {
		return err
	}
	listener, inherited, err := d.openListener(cfg)
	if err != nil {
		return err
	}
	if d.health, err = health.New(d.healthConfig(cfg, front.Bound(listener.Addr()))); err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := d.openBootstrap(cfg); err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := d.openEdge(cfg, listener, inherited); err != nil {
		return err
	}
	if err := d.openHTTP(cfg); err != nil {
		return err
	}
	if d.stun, err = d.openSTUN(cfg); err != nil {
		return err
	}
	if err := d.openHistory(cfg); err != nil {
		return err
	}
	return d.serveOps()
}

// openKeys loads or makes the certificate and the relay's own key.
func (d *Daemon) openKeys(cfg config.Config) (identity key.Private, err error) {
	source, err := front.OpenIssued(cfg, "", false, d.options.Issue, d.log)
	if err != nil {
		return identity, err
	}
	if identity, err = d.identity(cfg); err != nil {
		return identity, err
	}
	meta, err := certs.NewMeta(identity.Public())
	if err != nil {
		return identity, err
	}
	d.source = newSources(source)
	d.secure = certs.TLSConfig(d.source, meta)
	return identity, nil
}

func (d *Daemon) openRelay(cfg config.Config, identity key.Private) error {
	keys, from, err := meshKeys(cfg)
	if err != nil {
		return err
	}
	d.meshKeysFrom, d.meshKeyCount = from, len(keys)
	if err := d.openAccess(cfg); err != nil {
		return err
	}
	timeout, pending := d.admitLimits()
	d.hitters = hitters.New()
	d.relay, err = relay.New(relay.Config{
		Key:          identity,
		MeshKeys:     keys,
		Admit:        d.withinBudget(d.admission()),
		AdmitTimeout: timeout,
		AdmitPending: pending,
		KeepAlive:    orOff(cfg.KeepAlive),
		WriteTimeout: orOff(cfg.TCP.WriteTimeout),
		OutboxMemory: cmp.Or(int64(cfg.OutboxMemory), -1),
		Ended:        d.hasEnded,
		Logger:       d.log,
	})
	if err != nil {
		return err
	}
	d.twin = twin.New(d.options.Takeover, d.relay)
	return d.openMesh(cfg)
}

func (d *Daemon) openEdge(cfg config.Config, listener net.Listener, inherited bool) (err error) {
	c := d.edgeConfig(cfg)
	c.Relay, c.Listen, c.Listener, c.Healthy, c.Logger = d.relay, cfg.Listen, listener, d.health.Healthy, d.log
	if c.Loops, err = d.openLoops(cfg.Poller); err != nil {
		return errors.Join(err, listener.Close())
	}
	c.NoDERP, c.Bootstrap = !cfg.DERP, d.names.Answer
	if d.edge, err = edge.Listen(c); err != nil {
		return errors.Join(err, listener.Close())
	}
	if inherited {
		return nil
	}
	return d.options.Takeover.Keep(front.SocketName("listen", cfg.Listen), d.edge.Listener())
}

// edgeConfig has what can change while the relay runs.
func (d *Daemon) edgeConfig(cfg config.Config) edge.Config {
	c := edge.Config{
		TLS:             d.secure,
		Proxies:         proxies(cfg),
		SNI:             d.rules(cfg),
		MaxForeign:      cfg.MaxForeign,
		Home:            cfg.Home,
		Discreet:        cfg.Discreet,
		AcceptPerSecond: cfg.Accept.Limit,
		AcceptBurst:     cfg.Accept.Burst,
		MaxConns:        cfg.MaxConns,
		MaxPending:      cfg.MaxPending,
		KeepAlive:       orOff(cfg.TCP.KeepAlive),
		UserTimeout:     orOff(cfg.TCP.UserTimeout),
	}
	if cfg.TLS.Mode == config.TLSOff {
		c.TLS = nil
	}
	return c
}

// serveOps gives operators what they ask for, now that all of it is there.
func (d *Daemon) serveOps() (err error) {
	d.operators = admin.New(admin.Config{
		Version: d.options.Version, Relay: d.relay, Edge: d.edge, Health: d.health, STUN: d.stun.snapshot, Mesh: d.siblings,
		Access: d.accessState, Certificate: d.certificate, Reload: d.lastReload, Descriptors: descriptors, Quota: d.budget.snapshot, Limits: func() any { return d.budget.inForce() }, Control: d.asked, Hitters: d.hitters.Snapshot, History: d.history.Ask, HistoryState: d.history.State,
		Scrapes: d.metrics.Scrapes,
	})
	d.page, err = relaypage.New(relaypage.Config{
		Status: d.operators.Status, Counters: d.relay.ReadCounters, Explain: d.health.Explain, Peers: d.relay.Peers,
		Name: func() string { return d.Config().Hostname }, Next: d.operators, History: d.history.Ask,
		Desk: &d.desk, Orders: d.handler, HasToken: d.control.HasToken, Try: d.control.Try,
	})
	if err != nil {
		return err
	}
	d.status.Handle(d.page.Public())
	if d.options.Metrics != nil {
		d.metrics.Handle(d.options.Metrics(d.operators.Numbers, d.log))
	}
	d.profiles.Handle(newProfiles())
	return nil
}

// certificate is what peers are shown; nil without TLS.
func (d *Daemon) certificate() *certs.Description {
	current := d.source.get()
	if current == nil {
		return nil
	}
	shown := current.Describe()
	return &shown
}

// siblings is what /status shows of them.
func (d *Daemon) siblings() any { return d.mesh.Siblings() }

// orOff turns the 0 of a setting, which means off, into the negative value of a
// configuration below, whose 0 means the default.
func orOff(d config.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return time.Duration(d)
}

// spelling is how the operator calls settings.
func (d *Daemon) spelling() func(setting string) string {
	if d.options.Spell != nil {
		return d.options.Spell
	}
	return func(setting string) string { return setting }
}

// openMesh makes the mesh of a relay, which may have no siblings yet.
func (d *Daemon) openMesh(cfg config.Config) error {
	c, err := meshConfig(cfg)
	if err != nil {
		return err
	}
	c.Relay, c.Logger = d.relay, d.log
	if d.mesh, err = mesh.New(c); err != nil {
		return &config.Error{Err: err}
	}
	return nil
}

// meshConfig has what can change while the relay runs.
func meshConfig(cfg config.Config) (c mesh.Config, err error) {
	c = mesh.Config{DNS: cfg.Mesh.DNS, SRV: cfg.Mesh.SRV, Rebalance: cfg.Mesh.Rebalance}
	if c.Entries, err = meshEntries(cfg); err != nil {
		return c, err
	}
	if cfg.Mesh.CA != "" { // else those of the system
		if c.RootCAs, err = certs.ReadRoots(cfg.Mesh.CA); err != nil {
			return c, &config.Error{Setting: "mesh.ca", Err: err}
		}
	}
	return c, nil
}
