package daemon

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"os"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/history"
)

// SocketPath returns where a relay with these settings has its admin socket; empty:
// nowhere.
func SocketPath(cfg config.Config) (string, error) { return front.SocketPath(cfg, "") }

// StateDirs are where relays of this machine keep their state unless they are told:
// for commands that look for one.
func StateDirs() []string { return front.StateDirs("") }

// stateDir returns where a relay keeps what must outlive it.
func stateDir(cfg config.Config) (string, error) { return front.StateDir(cfg.StateDir, "") }

// openOps binds the addresses for operators, or takes them over.
func (d *Daemon) openOps(cfg config.Config) (err error) {
	if d.status, err = front.NewOps(d.options.Takeover, "admin", cfg.Admin, d.log); err != nil {
		return err
	}
	if cfg.Metrics != "" && d.options.Metrics == nil {
		return &config.Error{Setting: "metrics", What: "this program has no metrics", Remedy: "leave it out: /status of {admin} has the same numbers"}
	}
	if d.metrics, err = front.OpenMetrics(front.MetricsConfig{Settings: cfg, Secure: d.secure, Takeover: d.options.Takeover, Logger: d.log}); err != nil {
		return err
	}
	d.profiles, err = front.NewOps(d.options.Takeover, "pprof", cfg.Pprof, d.log)
	return err
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

// openControl makes what commands reach the relay by, or takes it over.
func (d *Daemon) openControl(cfg config.Config) (err error) {
	var access control.Access // nil where somebody else decides
	if d.access != nil {
		access = control.OfChain(d.access)
	}
	d.handler = control.New(control.Config{
		Watching: control.NewWatching(control.Watching{Version: d.options.Version, PID: os.Getpid(), Peers: d.relay.Peers, Counters: d.relay.Counters}),
		Access:   access,
		Version:  d.options.Version, Peers: d.relay, Reload: d.reloadForCommands, Status: func() any { return d.operators.Status() },
		Settings: d.shownSettings, Drain: d.beginDrain, SignIn: d.signInLink, Logger: d.log,
		History: func(q history.Query) (*history.Answer, error) { return d.history.Ask(q) },
	})
	d.control, err = front.OpenCommands(front.CommandsConfig{
		Settings: cfg, Who: "relay", Handler: d.handler, Pages: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.page.Private().ServeHTTP(w, r) }), Secure: d.secure,
		NewToken: d.desk.EndAll, // for who came by the old one
		Hostname: func() string { return d.Config().Hostname }, Leaf: d.leaf,
		Takeover: d.options.Takeover, Spell: d.spelling(), Logger: d.log,
	})
	return err
}

// leaf is the certificate that peers are shown; nil without TLS.
func (d *Daemon) leaf() *x509.Certificate {
	if shown := d.certificate(); shown != nil {
		return shown.Leaf
	}
	return nil
}

func checkControl(cfg config.Config) error { return front.CheckCommands(cfg, "relay") }

// reloadControl has the token count that stands in the file now.
func (d *Daemon) reloadControl(_, to config.Config) (apply func(), err error) {
	return d.control.PrepareToken(to.AdminToken)
}

// beginDrain has Run end, which drains first.
func (d *Daemon) beginDrain() error {
	if d.life.Phase() != front.Serving {
		return fmt.Errorf("the relay is %s already", d.life.Phase())
	}
	d.leaving()
	return nil
}

// signInLink makes a link by which the page lets somebody in.
func (d *Daemon) signInLink() (s control.SignIn, err error) {
	var bases []string
	if addr := d.status.Addr(); addr != "" {
		bases = append(bases, "http://"+addr)
	}
	if _, https := d.control.Addrs(); https != "" {
		bases = append(bases, "https://"+https)
	}
	if len(bases) == 0 {
		return s, errors.New(config.Text(&config.Error{Setting: "admin", What: "is off, so there is no page", Remedy: "give it a loopback address, as 127.0.0.1:9340"}, d.spelling()))
	}
	path, until := d.desk.Link()
	for _, base := range bases {
		s.URLs = append(s.URLs, base+path)
	}
	s.Until = until.UTC()
	return s, nil
}

// reloadMetrics has those who may read the metrics count that the files name now.
func (d *Daemon) reloadMetrics(_, to config.Config) (apply func(), err error) {
	return d.metrics.Prepare(to)
}

// asked is what commands have asked; nil: nobody can.
func (d *Daemon) asked() *control.Snapshot {
	if !d.control.Any() {
		return nil
	}
	s := d.handler.Snapshot()
	d.control.Count(&s)
	return &s
}

// reloadForCommands is ReloadNow as commands are told of it.
func (d *Daemon) reloadForCommands() (control.Report, error) {
	report, err := d.ReloadNow()
	if err != nil {
		err = errors.New(config.Text(err, d.spelling()))
	}
	return control.Report{Changed: told(report.Changed), Restart: told(report.Restart)}, err
}

// shownSettings are those in effect by their paths, without what is secret.
func (d *Daemon) shownSettings() any {
	cfg, shown := d.Config(), make(map[string]string)
	for _, s := range config.Table() {
		shown[s.Path] = s.Shown(cfg)
	}
	return shown
}

func told(changes []config.Change) []control.Change {
	all := make([]control.Change, len(changes))
	for i, c := range changes {
		all[i] = control.Change(c)
	}
	return all
}
