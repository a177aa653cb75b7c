package daemon

import (
	"errors"
	"net/http"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/port80"
	"github.com/detour-relay/detour/internal/reach/errno"
)

func checkHTTP(cfg config.Config) error {
	switch {
	case cfg.HTTP == "" || cfg.HTTP == config.HTTPOff:
		return nil
	case cfg.TLS.Mode == config.TLSOff:
		return &config.Error{Setting: "http", What: "is for a relay that speaks TLS, and this one has plain HTTP at {listen} already", Remedy: "leave it out"}
	}
	if err := hostname.CheckListen(cfg.HTTP); err != nil {
		return &config.Error{Setting: "http", What: err.Error()}
	}
	return nil
}

// openHTTP binds the address of plain HTTP, or takes it over.
func (d *Daemon) openHTTP(cfg config.Config) error {
	if cfg.HTTP == "" || cfg.HTTP == config.HTTPOff {
		return nil
	}
	listener, err := front.ListenOrTake(d.options.Takeover, "http", cfg.HTTP)
	if err != nil {
		return cannotListenHTTP(cfg, err)
	}
	d.http, err = port80.New(port80.Config{
		Listener: listener, Challenge: d.challenge, Log: front.NetLog(d.log),
		Hostname: func() string { return d.Config().Hostname }, Port: front.Bound(d.edge.Addr()).Port(),
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return nil
}

// cannotListenHTTP says more where an authority asks, who asks nowhere else. Whoever has
// the port is not told by the system.
func cannotListenHTTP(cfg config.Config, err error) error {
	e, ok := errors.AsType[*config.Error](err)
	if ok && errors.Is(err, errno.AddressInUse) && cfg.AsksPort80() {
		e.Remedy = "the authority asks at port 80 ({acme.challenge} http): stop the web server that listens there; or have that pass /.well-known/acme-challenge/ on to another address, " +
			"and name this with {http}; or choose tls-alpn or dns with {acme.challenge}"
	}
	return err
}

// logHTTP says why there is plain HTTP: nobody may have asked for it.
func (d *Daemon) logHTTP(cfg config.Config) {
	switch at := d.http.Addr(); {
	case at != "" && cfg.AsksPort80():
		d.log.Info("plain HTTP answers the authority, and leads all others to https", "listen", at)
	case at != "":
		d.log.Info("plain HTTP leads to https", "listen", at)
	case cfg.AsksPort80():
		d.log.Warn("the authority asks at port 80, where this relay does not listen: somebody else has to answer")
	}
}

// A challenged source has a certificate from an authority that asks at port 80 who has
// the name. It reports whether a request was one of these.
type challenged interface {
	ServeChallenge(w http.ResponseWriter, r *http.Request) bool
}

func (d *Daemon) challenge(w http.ResponseWriter, r *http.Request) bool {
	source, ok := d.source.get().(challenged)
	return ok && source.ServeChallenge(w, r)
}

// serveHTTP answers until the end.
func (d *Daemon) serveHTTP() {
	if err := d.http.Serve(); err != nil {
		d.log.Error("plain HTTP is answered no more", "listen", d.http.Addr(), "reason", err)
	}
}
