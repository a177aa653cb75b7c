package derpmap

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/pin"
)

// hostName looks at the name of a node. Where the map has an address and the name is
// not needed to verify the certificate, clients connect without it.
func (l *linter) hostName(path string, n *Node) {
	_, err := hostname.Parse(n.HostName)
	wrong, isWrong := errors.AsType[*hostname.Error](err)
	unneeded := hasAddress(n) && (n.InsecureForTests || n.STUNOnly || n.CertName != "")
	switch {
	case !isWrong:
		if addr, err := netip.ParseAddr(n.HostName); err == nil {
			l.hostAddress(path, n, addr)
		}
	case n.HostName == "" && unneeded:
		l.warn(path, "hostname-missing", "add the name, if the relay has one",
			"the node has no HostName; clients that connect by address need none, those in browsers or behind a proxy do")
	case n.HostName == "" && hasAddress(n):
		l.error(path, "hostname-missing", "add the name that its certificate has, or pin the certificate in CertName",
			"the node has no HostName, so no client can verify its certificate")
	case n.HostName == "":
		l.error(path, "hostname-missing", "add the DNS name or the address of the relay", "the node has no HostName and no address")
	case unneeded && !pin.Is(n.CertName):
		l.warn(path, "hostname-unused", wrong.Remedy, "%v; clients connect to the address all the same", named(wrong))
	default:
		l.hostMistake(path, n, wrong)
	}
}

func named(e *hostname.Error) string { return fmt.Sprintf("%q %s", e.Name, e.What) }

// hostMistake says what is wrong with a name that clients need.
func (l *linter) hostMistake(path string, n *Node, wrong *hostname.Error) {
	switch wrong.Kind {
	case hostname.Scheme:
		l.error(path, "hostname-scheme", wrong.Remedy, "%s; a HostName has no scheme", named(wrong))
	case hostname.Path:
		l.error(path, "hostname-path", wrong.Remedy, "%s; clients always ask for /derp", named(wrong))
	case hostname.Brackets:
		l.error(path, "hostname-brackets", wrong.Remedy, "an IPv6 address stands here without brackets")
	case hostname.Port:
		l.error(path, "hostname-port", wrong.Remedy+", and the port in DERPPort", "%s", named(wrong))
	case hostname.Underscore:
		if pin.Is(n.CertName) {
			l.warn(path, "hostname-underscore", wrong.Remedy, "%s", named(wrong))
			return
		}
		l.error(path, "hostname-underscore", wrong.Remedy, "%s", named(wrong))
	default:
		if pin.Is(n.CertName) {
			l.error(path, "pin-hostname", wrong.Remedy, "%s, and clients compare the name even of a pinned certificate", named(wrong))
			return
		}
		l.error(path, "hostname-invalid", wrong.Remedy, "%s", named(wrong))
	}
}

// hasAddress tells whether the map says where to connect.
func hasAddress(n *Node) bool {
	_, err4 := netip.ParseAddr(n.IPv4)
	_, err6 := netip.ParseAddr(n.IPv6)
	return err4 == nil || err6 == nil
}

func (l *linter) hostAddress(path string, n *Node, addr netip.Addr) {
	if addr.IsLoopback() && !l.cfg.Local && !hasAddress(n) {
		l.warn(path, "address-special", "write an address that peers reach", "%s reaches the relay only from nearby", addr)
	}
	if n.CertName == "" && !n.InsecureForTests && !n.STUNOnly {
		l.warn(path, "hostname-address", "pin the certificate: CertName sha256-raw: and its SHA-256; or write a DNS name",
			"for an address Tailscale's clients verify that somebody known signed the certificate, but not for whom")
	}
}
