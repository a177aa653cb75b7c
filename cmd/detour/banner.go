package main

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// banner is what a relay prints once it is ready: one block for a person, with
// what is needed next ready to be copied.
func (p *relayProcess) banner(f *relayFlags) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	addr := boundAddr(p.edge.Addr())
	ping := ""

	fmt.Fprintln(&b, "The relay is ready.")
	line("listening", "%s (%s)", addr, modeText(f.tls))
	line("stun", "%s", p.stun.text())
	line("public key", "%s", p.relay.PublicKey())
	if p.source != nil {
		shown := p.source.Describe()
		line("certificate", "%s, until %s", shown.Source, shown.Until.Format(time.DateOnly))
		if pin, _ := p.source.Trust(); pin != "" {
			ping = "--cert-name " + pin + " "
			line("pin", "%s", pin)
			if shown.NextFrom != nil {
				line("next pin", "%s, from %s", shown.NextPin, shown.NextFrom.Format(time.DateOnly))
			}
			line("map node", "%s", mapNode(f.hostname, pin, addr.Port(), p.stun.addr().Port()))
		}
	}
	if names := f.mesh.names(); len(names) > 0 {
		line("siblings", "%s", strings.Join(names, ", "))
	}
	if p.status != nil {
		line("status", "http://%s/status", p.status.listener.Addr())
	}
	if p.profiles != nil {
		line("profiles", "http://%s/debug/pprof/", p.profiles.listener.Addr())
	}
	line("try it", "detour ping %s%s", ping, p.url(f.hostname, addr))
	return b.String()
}

func modeText(mode string) string {
	switch mode {
	case tlsFiles:
		return "TLS, certificate from files"
	case tlsSelf:
		return "TLS, self-signed certificate"
	}
	return "plain HTTP"
}

// url is where a peer finds the relay, as far as the relay can know it; hostname
// may be empty.
func (p *relayProcess) url(hostname string, addr netip.AddrPort) string {
	host, scheme, usual := hostname, "https", uint16(443)
	if p.source == nil {
		scheme, usual = "http", 80
	} else if host == "" {
		host = nameOf(p.source.Describe().Leaf)
	}
	if host == "" {
		host = dialable(addr).Addr().String()
	}
	if addr.Port() != usual {
		return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(addr.Port()))) + "/derp"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host + "/derp"
}

// nameOf returns a name the certificate is valid for; "" if it has none that
// can be dialled.
func nameOf(leaf *x509.Certificate) string {
	for _, name := range leaf.DNSNames {
		if !strings.HasPrefix(name, "*") {
			return name
		}
	}
	if len(leaf.IPAddresses) > 0 {
		return leaf.IPAddresses[0].String()
	}
	return ""
}

// boundAddr returns the address of a TCP listener.
func boundAddr(addr net.Addr) netip.AddrPort {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		bound := tcp.AddrPort()
		return netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
	}
	return netip.AddrPort{}
}
