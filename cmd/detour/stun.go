package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"github.com/detour-relay/detour/internal/stun"
)

const (
	stunOff  = "off"
	stunPort = "3478" // where peers look for it, unless their map says otherwise
)

// A stunSide answers STUN beside the relay. A nil one does nothing.
type stunSide struct {
	responder *stun.Responder
	serving   sync.WaitGroup
}

// settleSTUN checks the flag.
func (f *relayFlags) settleSTUN() error {
	if f.stun == "" || f.stun == stunOff {
		return nil
	}
	if err := stun.CheckAddr(f.stun); err != nil {
		return usagef("--stun: %w; or off", err)
	}
	return nil
}

// stunAddr returns where to answer STUN beside a relay whose listener got the
// port. Several relays for development, on one machine, do not collide.
func (f *relayFlags) stunAddr(port uint16) string {
	if f.stun != "" {
		return f.stun
	}
	host, _, _ := net.SplitHostPort(f.listen)
	if f.dev {
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	return net.JoinHostPort(host, stunPort)
}

// listenSTUN binds the address for STUN, or takes it over; nil if STUN is off.
func (p *relayProcess) listenSTUN(f *relayFlags) (*stunSide, error) {
	if f.stun == stunOff {
		return nil, nil
	}
	config := stun.Config{Addr: f.stunAddr(boundAddr(p.edge.Addr()).Port()), Healthy: p.healthy, Logger: p.log}
	responder, err := p.openSTUN(config)
	if err != nil {
		return nil, fmt.Errorf("--stun: %w", err)
	}
	return &stunSide{responder: responder}, nil
}

func (p *relayProcess) openSTUN(config stun.Config) (*stun.Responder, error) {
	inherited, err := p.takeover.PacketConn("stun")
	if err != nil {
		return nil, err
	}
	if inherited != nil {
		return stun.New(inherited, config)
	}
	responder, err := stun.Listen(context.Background(), config)
	if err != nil {
		return nil, err
	}
	if err := p.keepSTUN(responder); err != nil {
		return nil, errors.Join(err, responder.Close())
	}
	return responder, nil
}

// keepSTUN has the socket handed on to the next process.
func (p *relayProcess) keepSTUN(responder *stun.Responder) error {
	if p.takeover == nil {
		return nil // there will be none
	}
	file, err := responder.File()
	if err != nil {
		return err
	}
	defer file.Close()
	return p.takeover.KeepFile("stun", file)
}

// start answers requests until stop.
func (s *stunSide) start(log *slog.Logger) {
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
func (s *stunSide) stop() error {
	if s == nil {
		return nil
	}
	err := s.responder.Close()
	s.serving.Wait()
	return err
}

// addr returns where STUN is answered; invalid: nowhere.
func (s *stunSide) addr() netip.AddrPort {
	if s == nil {
		return netip.AddrPort{}
	}
	return s.responder.Addr()
}

// text is addr for people and logs.
func (s *stunSide) text() string {
	if s == nil {
		return stunOff
	}
	return s.addr().String()
}

// snapshot is what /status shows of it; nil: there is none.
func (s *stunSide) snapshot() *stun.Snapshot {
	if s == nil {
		return nil
	}
	now := s.responder.Snapshot()
	return &now
}
