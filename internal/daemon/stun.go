package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/stun"
)

// stunPort is where peers look for STUN, unless their map says otherwise.
const stunPort = "3478"

// A stunService answers STUN beside the relay. A nil one does nothing.
type stunService struct {
	responder *stun.Responder
	serving   sync.WaitGroup
}

// stunAddr returns where to answer STUN beside a relay whose listener got the
// port. Several relays for development, on one machine, do not collide.
func stunAddr(cfg config.Config, port uint16) string {
	if cfg.STUN != "" {
		return cfg.STUN
	}
	host, _, _ := net.SplitHostPort(cfg.Listen)
	if _, isUnix := cfg.ListenPath(); isUnix {
		host = "" // peers ask the machine itself: no proxy passes STUN on
	}
	if cfg.Dev {
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	return net.JoinHostPort(host, stunPort)
}

// openSTUN binds the address for STUN, or takes it over; nil if STUN is off.
func (d *Daemon) openSTUN(cfg config.Config) (*stunService, error) {
	if cfg.STUN == config.STUNOff {
		return nil, nil
	}
	responder, err := d.openResponder(stun.Config{
		Addr: stunAddr(cfg, front.Bound(d.edge.Addr()).Port()), Healthy: d.health.Healthy, Logger: d.log,
	}, front.SocketName("stun", cfg.STUN))
	if err != nil {
		return nil, front.Failed("stun", err, "")
	}
	return &stunService{responder: responder}, nil
}

func (d *Daemon) openResponder(c stun.Config, name string) (*stun.Responder, error) {
	if d.options.PacketConn != nil {
		return stun.New(d.options.PacketConn, c)
	}
	inherited, err := d.options.Takeover.PacketConn(name)
	if err != nil {
		return nil, err
	}
	if inherited != nil {
		return stun.New(inherited, c)
	}
	responder, err := stun.Listen(context.Background(), c)
	if err != nil {
		return nil, err
	}
	if err := d.keepSTUN(responder, name); err != nil {
		return nil, errors.Join(err, responder.Close())
	}
	return responder, nil
}

// keepSTUN has the socket handed on to the next process.
func (d *Daemon) keepSTUN(responder *stun.Responder, name string) error {
	if d.options.Takeover == nil {
		return nil // there will be none
	}
	file, err := responder.File()
	if err != nil {
		return err
	}
	defer file.Close()
	return d.options.Takeover.KeepFile(name, file)
}

// start answers requests until stop.
func (s *stunService) start(log *slog.Logger) {
	if s == nil {
		return
	}
	s.serving.Go(func() {
		if err := s.responder.Serve(context.Background()); err != nil {
			log.Error("STUN ended; restart the relay", "reason", err)
		}
	})
}

// stop answers what was received, and closes the socket. It may be called more
// than once.
func (s *stunService) stop() error {
	if s == nil {
		return nil
	}
	err := s.responder.Close()
	s.serving.Wait()
	return err
}

// addr returns where STUN is answered; invalid: nowhere.
func (s *stunService) addr() netip.AddrPort {
	if s == nil {
		return netip.AddrPort{}
	}
	return s.responder.Addr()
}

// snapshot is what /status shows of it; nil: there is none.
func (s *stunService) snapshot() *stun.Snapshot {
	if s == nil {
		return nil
	}
	now := s.responder.Snapshot()
	return &now
}
