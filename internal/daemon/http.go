package daemon

import (
	"errors"
	"net/http"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/port80"
)

func checkHTTP(cfg config.Config) error {
	switch {
	case cfg.HTTP == "":
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
	if cfg.HTTP == "" {
		return nil
	}
	listener, err := front.ListenOrTake(d.options.Takeover, "http", cfg.HTTP)
	if err != nil {
		return err
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
