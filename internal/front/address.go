package front

import (
	"crypto/x509"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// An Address is where others find a server, as far as the server can know it.
type Address struct {
	Hostname string // may be empty
	Bound    netip.AddrPort
	Leaf     *x509.Certificate // nil without TLS, and while there is no certificate
	TLS      bool              // there is, or will be
}

// URL names the server by its host name, by a name of its certificate, or by the
// address of its listener. It has no path.
func (a Address) URL() string {
	host, scheme, usual := a.Hostname, "https", uint16(443)
	if a.Leaf == nil && !a.TLS {
		scheme, usual = "http", 80
	} else if host == "" && a.Leaf != nil {
		host = nameOf(a.Leaf)
	}
	if host == "" && !a.Bound.IsValid() {
		host = "localhost"
	}
	if host == "" {
		host = Dialable(a.Bound).Addr().String()
	}
	if a.Bound.IsValid() && a.Bound.Port() != usual { // else it is behind a proxy, which has the usual one
		return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(a.Bound.Port())))
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host
}

// CheckURL is URL with a name to ask for in any case.
func (a Address) CheckURL() string {
	if a.Hostname == "" && a.Leaf != nil {
		a.Hostname = wildcardName(a.Leaf)
	}
	return a.URL()
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

// wildcardName returns one of the names that a certificate is valid for which has
// wildcards only, none of which can be dialled; "" for others.
func wildcardName(leaf *x509.Certificate) string {
	if nameOf(leaf) != "" || len(leaf.DNSNames) == 0 {
		return ""
	}
	return strings.Replace(leaf.DNSNames[0], "*", "relay", 1)
}

// Bound returns the address of a TCP listener.
func Bound(addr net.Addr) netip.AddrPort {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		bound := tcp.AddrPort()
		return netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
	}
	return netip.AddrPort{}
}

// Dialable returns where a listener is reached from its own machine.
func Dialable(bound netip.AddrPort) netip.AddrPort {
	if bound.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), bound.Port())
	}
	return bound
}
