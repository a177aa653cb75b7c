package daemon

import (
	"cmp"
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/edge"
	"github.com/detour-relay/detour/internal/smallfile"
)

// controls are what commands reach the relay by. All of it may be nil.
type controls struct {
	handler *control.Handler
	socket  *control.Socket // that local answers at
	local   *control.Server
	door    *control.Door // that remote has before the handler
	remote  *control.Server
}

// SocketPath returns where a relay with these settings has its admin socket; empty:
// nowhere.
func SocketPath(cfg config.Config) (string, error) {
	switch {
	case cfg.AdminSocket == config.AdminSocketOff || cfg.AdminSocket == "" && cfg.Dev:
		return "", nil
	case cfg.AdminSocket != "":
		return cfg.AdminSocket, nil
	}
	dir, err := stateDir(cfg)
	return filepath.Join(dir, control.SocketName), err
}

// openControl makes what commands reach the relay by, or takes it over.
func (d *Daemon) openControl(cfg config.Config) error {
	var access control.Access // nil where somebody else decides
	if d.access != nil {
		access = control.OfChain(d.access)
	}
	d.control.handler = control.New(control.Config{
		Access:  access,
		Version: d.options.Version, Peers: d.relay, Reload: d.reloadForCommands, Status: func() any { return d.operators.Status() },
		Settings: d.shownSettings, Logger: d.log,
	})
	if err := d.openSocket(cfg); err != nil {
		return err
	}
	return d.openRemote(cfg)
}

// openSocket makes the admin socket. One that nobody has asked for is not worth the
// relay: where it cannot be, the log says so.
func (d *Daemon) openSocket(cfg config.Config) error {
	path, err := SocketPath(cfg)
	if err != nil || path == "" {
		return err
	}
	socket, err := control.ListenSocket(path, d.options.Takeover.TakesOver())
	if err != nil {
		err = failed("admin-socket", err, socketRemedy(err))
		if cfg.AdminSocket != "" || errors.Is(err, control.ErrAnswered) {
			return err
		}
		d.log.Warn("there is no admin socket: the commands of this machine cannot reach the relay", "reason", config.Text(err, d.spelling()))
		return nil
	}
	d.control.socket = socket
	d.control.local = control.NewServer(socket, nil, d.control.handler, d.netLog())
	return nil
}

func socketRemedy(err error) string {
	const elsewhere = "name another path with {admin-socket}, or off"
	switch {
	case errors.Is(err, control.ErrAnswered):
		return "each relay has a {state-dir} of its own: name another one, or stop the other relay"
	case errors.Is(err, control.ErrNoSocket):
		return "move it away, or " + elsewhere
	}
	return elsewhere
}

// checkControl looks at the settings of the commands' way over the network.
func checkControl(cfg config.Config) error {
	switch {
	case cfg.AdminHTTPS == "" && cfg.AdminToken != "":
		return &config.Error{Setting: "admin-token", What: "is for {admin-https}, which is off", Remedy: "give an address with {admin-https}, or leave it out"}
	case cfg.AdminHTTPS == "":
		return nil
	case cfg.TLS.Mode == config.TLSOff:
		return &config.Error{Setting: "admin-https", What: "needs TLS, and this relay has none",
			Remedy: "choose files or self with {tls.mode}, or use {admin-socket} on this machine"}
	case cfg.AdminToken == "":
		return &config.Error{Setting: "admin-https", What: "needs {admin-token}",
			Remedy: `the file with the token of those who may change the relay; make one with "openssl rand -hex 32"`}
	}
	if err := edge.CheckListen(cfg.AdminHTTPS); err != nil {
		return &config.Error{Setting: "admin-https", What: err.Error()}
	}
	return nil
}

// token reads the token, and warns if others can.
func (d *Daemon) token(cfg config.Config) (control.Token, error) {
	path := cfg.AdminToken
	secret, err := control.ReadToken(path)
	if err != nil {
		return control.Token{}, &config.Error{Setting: "admin-token", Err: err}
	}
	if smallfile.OpenToOthers(path) {
		d.log.Warn("every user of this machine can read the token of those who may change the relay: chmod o= the file", "file", path)
	}
	return control.NewToken(secret)
}

// openRemote binds the address at which commands are answered over the network.
func (d *Daemon) openRemote(cfg config.Config) error {
	if cfg.AdminHTTPS == "" {
		return nil
	}
	token, err := d.token(cfg)
	if err != nil {
		return err
	}
	listener, err := d.opsListener("admin-https", cfg.AdminHTTPS)
	if err != nil {
		return err
	}
	d.control.door = control.NewDoor(d.control.handler, token, d.isNamed, d.log)
	d.control.remote = control.NewServer(listener, d.secure, d.control.door, d.netLog())
	return nil
}

// isNamed reports whether a host is a name of this relay.
func (d *Daemon) isNamed(host string) bool {
	cfg := d.Config()
	bound, _, _ := net.SplitHostPort(cfg.AdminHTTPS)
	if strings.EqualFold(host, bound) || strings.EqualFold(host, cfg.Hostname) {
		return true
	}
	shown := d.certificate()
	return shown != nil && shown.Leaf != nil && shown.Leaf.VerifyHostname(host) == nil
}

// reloadControl has the token count that stands in the file now.
func (d *Daemon) reloadControl(_, to config.Config) (apply func(), err error) {
	if d.control.door == nil {
		return nil, nil
	}
	token, err := d.token(to)
	if err != nil {
		return nil, err
	}
	return func() { d.control.door.SetToken(token) }, nil
}

// serve answers until close.
func (c *controls) serve(d *Daemon) {
	for _, s := range []*control.Server{c.local, c.remote} {
		if s == nil {
			continue
		}
		d.running.Go(func() {
			if err := s.Serve(); err != nil {
				d.log.Error("the server for commands ended", "listen", s.Addr().String(), "reason", err)
			}
		})
	}
}

// publish gives the socket of a process that takes over its place.
func (c *controls) publish(d *Daemon) {
	if c.socket == nil || !d.options.Takeover.TakesOver() {
		return
	}
	if err := c.socket.Publish(); err != nil {
		d.log.Error("the commands of this machine cannot reach the relay", "reason", err)
	}
}

// close ends serving. It may be called more than once.
func (c *controls) close() error {
	var errs []error
	for _, s := range []*control.Server{c.local, c.remote} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// snapshot is what has been asked; nil: nobody can.
func (c *controls) snapshot() *control.Snapshot {
	if c.local == nil && c.remote == nil {
		return nil
	}
	s := c.handler.Snapshot()
	if c.door != nil {
		c.door.Count(&s)
	}
	return &s
}

// addrs are where commands are answered; empty: nowhere.
func (c *controls) addrs() (socket, https string) {
	if c.local != nil {
		socket = c.local.Addr().String()
	}
	if c.remote != nil {
		https = c.remote.Addr().String()
	}
	return socket, https
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

// StateDirs are where relays of this machine keep their state unless they are told:
// for commands that look for one.
func StateDirs() []string {
	own, _ := stateDir(config.Config{})
	if own == "" || own == systemStateDir || runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return []string{cmp.Or(own, systemStateDir)}
	}
	return []string{systemStateDir, own}
}
