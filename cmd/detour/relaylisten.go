package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/detour-relay/detour/internal/edge"
)

// listenAll binds all addresses, or takes them over.
func (p *relayProcess) listenAll(f *relayFlags, config *tls.Config) error {
	err := p.listenAside(f)
	if err == nil {
		p.edge, err = p.listen(f, config)
	}
	if err == nil {
		p.stun, err = p.listenSTUN(f)
	}
	return err
}

// listen binds the address of the relay, or takes it over.
func (p *relayProcess) listen(f *relayFlags, config *tls.Config) (*edge.Server, error) {
	inherited, err := p.takeover.Listener("relay")
	if err != nil {
		return nil, err
	}
	server, err := edge.Listen(edge.Config{
		Relay:           p.relay,
		Listen:          f.listen,
		Listener:        inherited,
		TLS:             config,
		Home:            f.home,
		Healthy:         p.healthy,
		AcceptPerSecond: f.acceptLimit,
		AcceptBurst:     f.acceptBurst,
		MaxPending:      f.maxPending,
		KeepAlive:       orOff(f.keepAlive),
		UserTimeout:     orOff(f.userTimeout),
		Logger:          p.log,
	})
	if errors.Is(err, addressInUse) {
		err = fmt.Errorf("%w: stop what listens there, or choose another address with --listen", err)
	}
	if err != nil || inherited != nil {
		return server, err
	}
	return server, p.takeover.Keep("relay", server.Listener())
}

// listenAside binds the addresses for operators, or takes them over.
func (p *relayProcess) listenAside(f *relayFlags) (err error) {
	if p.status, err = p.newSide("admin", f.admin, nil); err != nil {
		return err
	}
	p.profiles, err = p.newSide("pprof", f.pprof, newProfiles())
	return err
}

// newSide returns nil for an empty address.
func (p *relayProcess) newSide(flag, address string, handler http.Handler) (*sideServer, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := p.takeover.Listener(flag)
	if listener == nil && err == nil {
		if listener, err = net.Listen("tcp", address); err == nil {
			err = p.takeover.Keep(flag, listener)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return newSideServer(listener, handler), nil
}

// closeSides closes what listens for operators.
func (p *relayProcess) closeSides() error { return errors.Join(p.status.close(), p.profiles.close()) }
