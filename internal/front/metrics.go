package front

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/takeover"
)

const (
	// mostLooking bounds the connections of a loopback address for metrics; more wait in
	// the kernel's queue.
	mostLooking = 128

	// lookTime is how long one may take to read an answer, which is some 50 KB.
	lookTime = 30 * time.Second
)

// Metrics answers Prometheus. On a loopback address it speaks plain HTTP; elsewhere TLS
// with the server's certificate, to those who have the token or a certificate of an
// authority. A nil one does nothing.
type Metrics struct {
	config   MetricsConfig
	next     http.Handler // set by Handle
	door     *control.Door
	guarded  atomic.Bool                // the door is shut to those without the token
	secure   atomic.Pointer[tls.Config] // for the next handshake
	listener net.Listener
	ops      *Ops            // on loopback, else nil
	remote   *control.Server // else

	answered, busy atomic.Uint64
}

// MetricsConfig says where metrics are answered, and to whom.
type MetricsConfig struct {
	Settings config.Config // Metrics, MetricsToken and MetricsCA
	Secure   *tls.Config   // beyond loopback
	Takeover *takeover.Takeover
	Logger   *slog.Logger
}

// Scrapes are how often metrics have been asked for. Its JSON names are stable.
type Scrapes struct {
	Answered    uint64 `json:"answered"`
	Busy        uint64 `json:"busy"`         // sent away, because as many asked as may
	WrongTokens uint64 `json:"wrong_tokens"` // or none
	Limited     uint64 `json:"limited"`      // for too many wrong tokens
	Strange     uint64 `json:"strange"`      // from a web page
}

// CheckMetrics looks at the settings of metrics. A token never goes over a network
// without TLS.
func CheckMetrics(cfg config.Config, who string) error {
	if cfg.Metrics == "" {
		for setting, value := range map[string]string{"metrics-token": cfg.MetricsToken, "metrics-ca": cfg.MetricsCA} {
			if value != "" {
				return &config.Error{Setting: setting, What: "is for {metrics}, which is off", Remedy: "give an address with {metrics}, or leave it out"}
			}
		}
		return nil
	}
	if err := hostname.CheckListen(cfg.Metrics); err != nil {
		return &config.Error{Setting: "metrics", What: err.Error()}
	}
	switch {
	case isLoopback(cfg.Metrics) && cfg.MetricsCA != "":
		return &config.Error{Setting: "metrics-ca", What: "is for addresses beyond loopback: at " + cfg.Metrics + " there is no TLS", Remedy: "leave it out, or listen elsewhere with {metrics}"}
	case isLoopback(cfg.Metrics):
		return nil
	case cfg.TLS.Mode == config.TLSOff:
		return &config.Error{Setting: "metrics", What: fmt.Sprintf("%q needs TLS, and this %s has none", cfg.Metrics, who),
			Remedy: "choose a loopback address, such as 127.0.0.1:9342, and have a proxy of this machine ask it; or files, self or acme with {tls.mode}"}
	case cfg.MetricsToken == "" && cfg.MetricsCA == "":
		return &config.Error{Setting: "metrics", What: fmt.Sprintf("%q is not only for this machine, and metrics say how much this %s does, and for how many", cfg.Metrics, who),
			Remedy: `say who may ask: {metrics-token} is the file with their token (make one with "openssl rand -hex 32"), {metrics-ca} the authority of their certificates; or choose a loopback address, such as 127.0.0.1:9342`}
	}
	return nil
}

func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// OpenMetrics binds the address of metrics, or takes it over; it returns nil where there
// is none.
func OpenMetrics(c MetricsConfig) (*Metrics, error) {
	if c.Settings.Metrics == "" {
		return nil, nil
	}
	m := &Metrics{config: c}
	m.door = control.NewDoor(http.HandlerFunc(m.answer), control.Token{}, func(string) bool { return true }, "read the metrics", c.Logger)
	apply, err := m.Prepare(c.Settings)
	if err != nil {
		return nil, err
	}
	apply()
	if m.listener, err = ListenOrTake(c.Takeover, "metrics", c.Settings.Metrics); err != nil {
		return nil, err
	}
	if !isLoopback(c.Settings.Metrics) {
		m.remote = control.NewServer(m.listener, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return m.secure.Load(), nil }}, http.HandlerFunc(m.serve), NetLog(c.Logger))
		return m, nil
	}
	m.ops = opsAt(netutil.LimitListener(m.listener, mostLooking), c.Settings.Metrics, c.Logger)
	m.ops.server.WriteTimeout = lookTime
	m.ops.server.SetKeepAlivesEnabled(false) // who has been answered holds no place
	m.ops.Handle(http.HandlerFunc(m.serve))
	return m, nil
}

// Prepare reads the files that say who may ask, and returns what has them count.
func (m *Metrics) Prepare(to config.Config) (apply func(), err error) {
	if m == nil {
		return nil, nil
	}
	var token control.Token
	if to.MetricsToken != "" {
		if token, err = readToken("metrics-token", to.MetricsToken, m.config.Logger); err != nil {
			return nil, err
		}
	}
	var secure *tls.Config
	if !isLoopback(m.config.Settings.Metrics) {
		secure = m.config.Secure.Clone()
		secure.SessionTicketsDisabled = true // who may ask is looked at each time
	}
	if to.MetricsCA != "" {
		if secure.ClientCAs, err = certs.ReadRoots(to.MetricsCA); err != nil {
			return nil, &config.Error{Setting: "metrics-ca", Err: err}
		}
		secure.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return func() {
		m.door.SetToken(token)
		m.guarded.Store(to.MetricsToken != "")
		m.secure.Store(secure)
	}, nil
}

// Handle says who answers, before anybody is served.
func (m *Metrics) Handle(handler http.Handler) {
	if m != nil {
		m.next = handler
	}
}

func (m *Metrics) serve(w http.ResponseWriter, r *http.Request) {
	if m.guarded.Load() {
		m.door.ServeHTTP(w, r)
		return
	}
	m.answer(w, r)
}

func (m *Metrics) answer(w http.ResponseWriter, r *http.Request) {
	said := &statusNoted{ResponseWriter: w}
	m.next.ServeHTTP(said, r)
	switch said.status {
	case http.StatusOK:
		m.answered.Add(1)
	case http.StatusServiceUnavailable:
		m.busy.Add(1)
	}
}

// statusNoted remembers the status of an answer.
type statusNoted struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusNoted) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusNoted) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *statusNoted) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Serve answers until Close.
func (m *Metrics) Serve() {
	if m == nil {
		return
	}
	if m.ops != nil {
		m.ops.Serve()
		return
	}
	if err := m.remote.Serve(); err != nil {
		m.config.Logger.Error("the server for metrics ended", "listen", m.Addr(), "reason", err)
	}
}

// Close ends serving. It may be called more than once, and before Serve.
func (m *Metrics) Close() error {
	switch {
	case m == nil:
		return nil
	case m.ops != nil:
		return m.ops.Close()
	}
	return m.remote.Close()
}

// Addr returns where it answers; empty: nowhere.
func (m *Metrics) Addr() string {
	if m == nil {
		return ""
	}
	return m.listener.Addr().String()
}

// URL is what to give to Prometheus; empty: nothing.
func (m *Metrics) URL() string {
	switch {
	case m == nil:
		return ""
	case m.ops != nil:
		return "http://" + m.Addr() + "/metrics"
	}
	return "https://" + m.Addr() + "/metrics"
}

// Scrapes returns how often it was asked; nil: it cannot be.
func (m *Metrics) Scrapes() *Scrapes {
	if m == nil {
		return nil
	}
	var at control.Snapshot
	m.door.Count(&at)
	return &Scrapes{m.answered.Load(), m.busy.Load(), at.WrongTokens, at.Limited, at.Strange}
}
