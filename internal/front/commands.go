package front

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/takeover"
)

// Commands is what commands reach a server by. All of it may be missing.
type Commands struct {
	config CommandsConfig
	socket *control.Socket // that local answers at
	local  *control.Server
	door   *control.Door // that remote has before the handler
	remote *control.Server
}

// CommandsConfig says how commands reach a server, and what answers them.
type CommandsConfig struct {
	Settings config.Config // AdminSocket, AdminHTTPS and AdminToken
	Sub      string        // of the state directory, as StateDir has it
	Who      string        // what the server is called: "relay"
	InDev    bool          // there is an admin socket with Dev, too

	Handler  http.Handler
	Pages    http.Handler // answers browsers over the network, who ask for what is not below /v1/; nil: nobody does
	NewToken func()       // is called when there is another token; may be nil
	Secure   *tls.Config  // over the network; required with AdminHTTPS

	// Hostname and Leaf say by which names the server is called; nil: no certificate.
	Hostname func() string
	Leaf     func() *x509.Certificate

	Takeover *takeover.Takeover
	Spell    func(setting string) string
	Logger   *slog.Logger
}

// OpenCommands makes what commands reach a server by, or takes it over.
func OpenCommands(c CommandsConfig) (*Commands, error) {
	commands := &Commands{config: c}
	err := commands.openSocket()
	if err == nil {
		err = commands.openRemote()
	}
	if err != nil {
		return nil, errors.Join(err, commands.Close())
	}
	return commands, nil
}

// openSocket makes the admin socket. One that nobody has asked for is not worth the
// server: where it cannot be, the log says so.
func (c *Commands) openSocket() error {
	cfg := c.config.Settings
	cfg.Dev = cfg.Dev && !c.config.InDev
	path, err := SocketPath(cfg, c.config.Sub)
	if err != nil || path == "" {
		return err
	}
	socket, err := control.ListenSocket(path, c.config.Takeover.TakesOver())
	if err != nil {
		err = Failed("admin-socket", err, c.socketRemedy(err))
		if cfg.AdminSocket != "" || errors.Is(err, control.ErrAnswered) {
			return err
		}
		c.config.Logger.Warn("there is no admin socket: the commands of this machine cannot reach this process", "reason", config.Text(err, c.config.Spell))
		return nil
	}
	c.socket = socket
	c.local = control.NewServer(socket, nil, c.config.Handler, NetLog(c.config.Logger))
	return nil
}

func (c *Commands) socketRemedy(err error) string {
	const elsewhere = "name another path with {admin-socket}, or off"
	switch {
	case errors.Is(err, control.ErrAnswered) && c.config.Settings.Dev:
		return "stop the other " + c.config.Who + ", or " + elsewhere
	case errors.Is(err, control.ErrAnswered):
		return "each " + c.config.Who + " has a {state-dir} of its own: name another one, or stop the other " + c.config.Who
	case errors.Is(err, control.ErrNoSocket):
		return "move it away, or " + elsewhere
	}
	return elsewhere
}

// CheckCommands looks at the settings of the commands' way over the network.
func CheckCommands(cfg config.Config, who string) error {
	switch {
	case cfg.AdminHTTPS == "" && cfg.Admin == "" && cfg.AdminToken != "":
		return &config.Error{Setting: "admin-token", What: "is for {admin-https} and {admin}, which are off", Remedy: "give an address with one of them, or leave it out"}
	case cfg.AdminHTTPS == "":
		return nil
	case cfg.TLS.Mode == config.TLSOff:
		return &config.Error{Setting: "admin-https", What: "needs TLS, and this " + who + " has none",
			Remedy: "choose files or self with {tls.mode}, or use {admin-socket} on this machine"}
	case cfg.AdminToken == "":
		return &config.Error{Setting: "admin-https", What: "needs {admin-token}",
			Remedy: "the file with the token of those who may change the " + who + `; make one with "openssl rand -hex 32"`}
	}
	if err := hostname.CheckListen(cfg.AdminHTTPS); err != nil {
		return &config.Error{Setting: "admin-https", What: err.Error()}
	}
	return nil
}

// readToken reads the token of a setting's file, and warns if others can.
func readToken(setting, path string, log *slog.Logger) (control.Token, error) {
	secret, err := control.ReadToken(path)
	if err != nil {
		return control.Token{}, &config.Error{Setting: setting, Err: err}
	}
	if smallfile.OpenToOthers(path) {
		log.Warn("every user of this machine can read the token: chmod o= the file", "setting", setting, "file", path)
	}
	return control.NewToken(secret)
}

// openRemote binds the address at which commands are answered over the network. The token
// has its door also without: pages ask for it, and a reload may bring one.
func (c *Commands) openRemote() error {
	cfg := c.config.Settings
	token, err := c.token(cfg.AdminToken)
	if err != nil {
		return err
	}
	c.door = control.NewDoor(c.config.Handler, token, c.isNamed, "change this process", c.config.Logger)
	if cfg.AdminHTTPS == "" {
		return nil
	}
	listener, err := ListenOrTake(c.config.Takeover, "admin-https", cfg.AdminHTTPS)
	if err != nil {
		return err
	}
	c.remote = control.NewServer(listener, c.config.Secure, c.forBoth(), NetLog(c.config.Logger))
	return nil
}

// forBoth has programs and browsers answered.
func (c *Commands) forBoth() http.Handler {
	if c.config.Pages == nil {
		return c.door
	}
	pages := c.door.Named(control.Patient(c.config.Pages))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") || r.Header.Get("Authorization") != "" {
			c.door.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// Try says why a token that came with a request does not count; zero: it does.
func (c *Commands) Try(w http.ResponseWriter, r *http.Request, token string) (status int, why string) {
	if err := c.door.Try(w, r, token); err != nil {
		return err.Status, err.Text
	}
	return 0, ""
}

// HasToken reports whether there is a token.
func (c *Commands) HasToken() bool { return c.door.HasToken() }

// token reads that of a file; no file: one that nobody has.
func (c *Commands) token(path string) (control.Token, error) {
	if path == "" {
		return control.Token{}, nil
	}
	return readToken("admin-token", path, c.config.Logger)
}

// isNamed reports whether a host is a name of this server.
func (c *Commands) isNamed(host string) bool {
	bound, _, _ := net.SplitHostPort(c.config.Settings.AdminHTTPS)
	if strings.EqualFold(host, bound) || strings.EqualFold(host, c.config.Hostname()) {
		return true
	}
	leaf := c.config.Leaf()
	return leaf != nil && leaf.VerifyHostname(host) == nil
}

// PrepareToken reads the token that stands in the file now, and returns what has it
// count. No file: there is no token any more.
func (c *Commands) PrepareToken(path string) (apply func(), err error) {
	token, err := c.token(path)
	if err != nil {
		return nil, err
	}
	return func() {
		if c.door.SetToken(token) && c.config.NewToken != nil {
			c.config.NewToken()
		}
	}, nil
}

// Serve answers until Close, in goroutines that are counted.
func (c *Commands) Serve(running *sync.WaitGroup) {
	for _, s := range []*control.Server{c.local, c.remote} {
		if s == nil {
			continue
		}
		running.Go(func() {
			if err := s.Serve(); err != nil {
				c.config.Logger.Error("the server for commands ended", "listen", s.Addr().String(), "reason", err)
			}
		})
	}
}

// Publish gives the socket of a process that takes over its place.
func (c *Commands) Publish() {
	if c.socket == nil || !c.config.Takeover.TakesOver() {
		return
	}
	if err := c.socket.Publish(); err != nil {
		c.config.Logger.Error("the commands of this machine cannot reach this process", "reason", err)
	}
}

// Close ends serving. It may be called more than once, and on nil.
func (c *Commands) Close() error {
	if c == nil {
		return nil
	}
	var errs []error
	for _, s := range []*control.Server{c.local, c.remote} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// Any reports whether commands can reach the server at all.
func (c *Commands) Any() bool { return c.local != nil || c.remote != nil }

// Count adds whom the door has turned away to a snapshot.
func (c *Commands) Count(s *control.Snapshot) {
	c.door.Count(s)
}

// Addrs are where commands are answered; empty: nowhere.
func (c *Commands) Addrs() (socket, https string) {
	if c.local != nil {
		socket = c.local.Addr().String()
	}
	if c.remote != nil {
		https = c.remote.Addr().String()
	}
	return socket, https
}
