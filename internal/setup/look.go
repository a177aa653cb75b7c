package setup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/hostname"
)

// patience bounds each question to others.
const patience = 5 * time.Second

// A World is what is looked at beside files and sockets.
type World struct {
	Lookup   func(ctx context.Context, host string) ([]netip.Addr, error)
	Own      func() []netip.Addr // the addresses of this machine that others may reach
	Hostname func() (string, error)

	Authority string // URL of the directory of the usual one
}

// finding is about a setting.
func finding(level daemon.Level, setting, format string, args ...any) daemon.Finding {
	return daemon.Finding{Level: level, Err: &config.Error{Setting: setting, What: fmt.Sprintf(format, args...)}}
}

// Own are the addresses of this machine's interfaces, but for those that mean something
// on it or its link only.
func Own() (all []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if ip := prefix.Addr().Unmap(); err == nil && ip.IsGlobalUnicast() {
			all = append(all, ip)
		}
	}
	return all
}

// Lookup asks the system's resolver.
func Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// Host looks whether a name or address leads to this machine. That it does not is no
// mistake: behind a translation of addresses nothing of it can be seen from here.
func (w World) Host(ctx context.Context, cfg config.Config) (found []daemon.Finding) {
	switch host := cfg.Hostname; {
	case host == "":
	case IsAddress(host):
		found = append(found, w.address("hostname", host))
	default:
		found = append(found, w.name(ctx, host, cfg.PublicIP)...)
	}
	for _, ip := range cfg.PublicIP {
		found = append(found, w.address("public-ip", ip))
	}
	if port := portIn(cfg.Listen); port != 443 && cfg.TLS.Mode == config.TLSACME && cfg.ACME.Directory == "" && AsksListener(cfg) {
		found = append(found, finding(daemon.Noted, "listen", "is port %d, and the authority asks at port 443: that has to be forwarded here, or take acme.challenge http, which asks at port 80", port))
	}
	return found
}

// AsksListener reports whether an authority would connect to the relay's own port.
func AsksListener(cfg config.Config) bool {
	return cfg.ACME.Challenge == "" || cfg.ACME.Challenge == config.ChallengeALPN
}

func (w World) address(setting, host string) daemon.Finding {
	ip, err := netip.ParseAddr(host)
	switch own := w.Own(); {
	case err != nil:
		return finding(daemon.Wrong, setting, "%q is no IP address", host)
	case ip.IsLoopback():
		return finding(daemon.Noted, setting, "%s is this machine alone: peers on other machines do not get here by it", ip)
	case hostname.CheckPublic(ip.String()) != nil:
		return finding(daemon.Noted, setting, "%s is an address of a private network: peers elsewhere do not get here by it", ip)
	case slices.Contains(own, ip):
		return finding(daemon.Fine, setting, "%s is an address of this machine", ip)
	default:
		return finding(daemon.Noted, setting, "%s is no address of this machine, which has %s: right behind a NAT that leads here, else a slip", ip, list(own))
	}
}

// name compares what DNS says of a name with the addresses that there are.
func (w World) name(ctx context.Context, host string, public []string) []daemon.Finding {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	addrs, err := w.Lookup(ctx, host)
	own := w.Own()
	e, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isDNS && e.IsNotFound, err == nil && len(addrs) == 0:
		return []daemon.Finding{finding(daemon.Noted, "hostname", "%s has no address in the DNS yet: make an A record (and AAAA for IPv6); this machine has %s", host, list(own))}
	case err != nil:
		return []daemon.Finding{finding(daemon.Noted, "hostname", "nobody could be asked where %s leads: %v", host, err)}
	}
	var here, elsewhere []netip.Addr
	for _, ip := range addrs {
		if ip = ip.Unmap(); slices.Contains(own, ip) || slices.Contains(public, ip.String()) {
			here = append(here, ip)
		} else {
			elsewhere = append(elsewhere, ip)
		}
	}
	var found []daemon.Finding
	if len(here) > 0 {
		found = append(found, finding(daemon.Fine, "hostname", "%s leads here: %s", host, list(here)))
	}
	for _, ip := range elsewhere {
		found = append(found, astray(host, ip, own))
	}
	return found
}

// astray says what it means that a name leads to an address that is none of this
// machine's.
func astray(host string, ip netip.Addr, own []netip.Addr) daemon.Finding {
	record := "A"
	if ip.Is6() {
		record = "AAAA"
	}
	switch {
	case ip.IsLoopback():
		return finding(daemon.Noted, "hostname", "%s leads to %s as seen from here, which is each machine itself: see /etc/hosts", host, ip)
	case hostname.CheckPublic(ip.String()) != nil:
		return finding(daemon.Noted, "hostname", "%s leads to %s, an address of a private network: peers elsewhere do not get here by it", host, ip)
	case ip.Is6() && !slices.ContainsFunc(own, netip.Addr.Is6):
		return finding(daemon.Noted, "hostname", "%s leads to %s, too, and this machine has no IPv6: take the AAAA record away, or peers go astray by it", host, ip)
	}
	return finding(daemon.Noted, "hostname", "%s leads to %s, and this machine has %s: right behind a NAT or balancer that leads here, else mend the %s record", host, ip, list(own), record)
}

// Guess is the name or address by which peers may reach this machine; empty: nobody
// can tell from here.
func (w World) Guess(ctx context.Context) string {
	own := w.Own()
	if name, err := w.Hostname(); err == nil && strings.Contains(name, ".") && hostname.CheckPublic(name) == nil {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		addrs, err := w.Lookup(ctx, name)
		host, parsed := hostname.Parse(name)
		if err == nil && parsed == nil && slices.ContainsFunc(addrs, func(ip netip.Addr) bool { return public(ip.Unmap()) && slices.Contains(own, ip.Unmap()) }) {
			return host
		}
	}
	for _, want := range []func(netip.Addr) bool{netip.Addr.Is4, netip.Addr.Is6} {
		for _, ip := range own {
			if want(ip) && public(ip) {
				return ip.String()
			}
		}
	}
	return ""
}

func public(ip netip.Addr) bool { return hostname.CheckPublic(ip.String()) == nil }

func list(addrs []netip.Addr) string {
	if len(addrs) == 0 {
		return "no address that others reach"
	}
	var all []string
	for _, ip := range addrs {
		all = append(all, ip.String())
	}
	return strings.Join(all, ", ")
}
