package main

import (
	"crypto/x509"
	"net/netip"
	"net/url"
	"strings"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/health"
)

// What --self-check may say besides a URL.
const (
	checkAuto   = "auto"   // by name, unless this machine cannot reach it
	checkName   = "name"   // by name
	checkDirect = "direct" // at the listener's own address
	checkOff    = "off"
)

// settleSelfCheck checks the flag; TLS mode and host name are settled already.
func (f *relayFlags) settleSelfCheck() error {
	switch f.selfCheck {
	case checkAuto, checkDirect, checkOff:
		return nil
	case checkName:
		if f.hostname == "" || f.tls == tlsOff {
			return usagef("--self-check name is for a relay with --hostname and TLS: give the URL by which peers reach it instead, or direct")
		}
		return nil
	}
	u, err := url.Parse(f.selfCheck)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return usagef("--self-check %q: choose auto, name, direct or off, or give the URL by which peers reach the relay, "+
			"such as https://relay.example:8443/derp", f.selfCheck)
	}
	if u.Scheme == "http" && f.tls != tlsOff {
		return usagef("--self-check %q: this relay speaks TLS: write https://", f.selfCheck)
	}
	return nil
}

// newHealth decides how the relay checks itself. Without a name, or with
// somebody else's TLS before it, only the listener is known.
func (p *relayProcess) newHealth(f *relayFlags) (*health.Health, error) {
	config := health.Config{Logger: p.log}
	addr := boundAddr(p.edge.Addr())
	own := func() string { return p.ownURL(f.hostname, addr) }
	switch f.selfCheck {
	case checkOff:
	case checkDirect:
		config.Direct = p.directDoor(own, addr)
	case checkName:
		config.ViaName = p.nameDoor(own)
	case checkAuto:
		config.Direct = p.directDoor(own, addr)
		if f.hostname != "" && p.source != nil {
			config.ViaName = p.nameDoor(own)
		}
	default:
		config.ViaName = p.nameDoor(func() string { return f.selfCheck })
	}
	return health.New(config)
}

// nameDoor is the way that peers take. What answers there may show a certificate
// of an authority, or the relay's own.
func (p *relayProcess) nameDoor(url func() string) health.Path {
	trip := p.roundTrip(func() client.Config { return p.login(url()) })
	return health.Path{Target: url(), Check: trip.Check}
}

// directDoor leads to the listener, and asks there for the name.
func (p *relayProcess) directDoor(url func() string, bound netip.AddrPort) health.Path {
	trip := p.roundTrip(func() client.Config { return p.login(url()) })
	trip.Addr = dialable(bound).String()
	return health.Path{Target: url() + " at " + trip.Addr, Check: trip.Check}
}

func (p *relayProcess) roundTrip(login func() client.Config) health.RoundTrip {
	return health.RoundTrip{Login: login}
}

// login says how to trust the relay behind a URL.
func (p *relayProcess) login(url string) client.Config {
	config := client.Config{URL: url, ServerKey: p.relay.PublicKey()}
	if p.source != nil {
		config.CertName, config.RootCAs = p.source.Trust()
	}
	return config
}

// ownURL is url with a name to ask for in any case. The certificate, which may be
// renewed, is asked for one if need be.
func (p *relayProcess) ownURL(hostname string, addr netip.AddrPort) string {
	if hostname == "" && p.source != nil {
		hostname = wildcardName(p.source.Describe().Leaf)
	}
	return p.url(hostname, addr)
}

// wildcardName returns one of the names that a certificate is valid for which has
// wildcards only, none of which can be dialled; "" for others.
func wildcardName(leaf *x509.Certificate) string {
	if nameOf(leaf) != "" || len(leaf.DNSNames) == 0 {
		return ""
	}
	return strings.Replace(leaf.DNSNames[0], "*", "relay", 1)
}

// dialable returns where a listener is reached from its own machine.
func dialable(bound netip.AddrPort) netip.AddrPort {
	if bound.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), bound.Port())
	}
	return bound
}
