package probe

import (
	"context"
	"crypto/x509"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/explain"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/key"
)

// expirySoon is how many days before the end a certificate is warned about;
// derpprobe fails it then (spec 17.1).
const expirySoon = 7 // or a quarter of its life, if that is less

const day = 24 * time.Hour

// checkExpiry looks at the dates of all certificates that lead to an authority.
func (n *node) checkExpiry(context.Context) Check {
	if n.tls == nil {
		return skip("no certificate was seen")
	}
	return expiry(n.tls.PeerCertificates, time.Now())
}

func expiry(certs []*x509.Certificate, now time.Time) Check {
	first := certs[0] // to expire
	for i, cert := range certs {
		if i > 0 && (isMeta(cert) || selfSigned(cert)) {
			continue // nobody verifies these
		}
		if now.Before(cert.NotBefore) {
			return fail("not valid yet: %s", explain.ClockText(cert, now)).do("%s", clockRemedy)
		}
		if cert.NotAfter.Before(first.NotAfter) {
			first = cert
		}
	}
	left := first.NotAfter.Sub(now)
	switch {
	case left < 0:
		return fail("expired %s ago: %s", span(-left), explain.ClockText(first, now)).do("%s", renewRemedy)
	case left < min(expirySoon*day, first.NotAfter.Sub(first.NotBefore)/4): // some live for six days, and are renewed after three
		return warn("%s expires on %s, in %s", explain.Subject(first), date(first.NotAfter), span(left)).
			do("renew it now, and see why that did not happen by itself")
	}
	return ok("%d days left, until %s", int(left/day), date(first.NotAfter))
}

// checkNames wants the name that clients verify among those of the certificate.
func (n *node) checkNames(context.Context) Check {
	switch {
	case n.tls == nil:
		return skip("no certificate was seen")
	case n.dial.InsecureSkipVerify:
		return skip("nobody looks at the names, as certificates are not verified")
	case n.pinned() && isAddress(n.host):
		return skip("nobody looks at the names of a pinned certificate for an address")
	}
	leaf, name := n.tls.PeerCertificates[0], n.verifiedName()
	if !covers(leaf, name) {
		return fail("%s is not among the names, which are %s", name, explain.NamesOf(leaf)).do("%s", n.way().NameRemedy(leaf, name))
	}
	return ok("%s, among %s", name, explain.NamesOf(leaf))
}

// verifiedName is the name that the certificate has to be for.
func (n *node) verifiedName() string {
	if n.dial.CertName != "" && !n.pinned() {
		return n.dial.CertName
	}
	return n.host
}

func (n *node) pinned() bool { return pin.Is(n.dial.CertName) }

// checkMeta looks at the certificate that tells clients the relay's key.
func (n *node) checkMeta(context.Context) Check {
	if n.tls == nil {
		return skip("no certificate was seen")
	}
	certs := n.tls.PeerCertificates
	at := -1
	var shown key.Public
	for i, cert := range certs {
		if k, isMeta := derp.ParseMetaCertName(cert.Subject.CommonName); isMeta && at < 0 {
			at, shown = i, k
		}
	}
	switch real := n.serverKey(); {
	case at < 0:
		return ok("none: clients connect without the fast start, with one round trip more")
	case !real.IsZero() && shown != real:
		return fail("it says %v, but the relay's key is %v: clients cannot log in", shown, real).
			do("restart what ends TLS before the relay, so that it takes the meta certificate of today")
	}
	c := judgeMeta(certs[at], at == len(certs)-1, n.tls.Version, time.Now())
	if n.serverKey().IsZero() && c.Status == OK {
		return ok("present; the relay's own key, to compare it with, is not known")
	}
	return c
}

// judgeMeta looks at a meta certificate that has the right key.
func judgeMeta(meta *x509.Certificate, last bool, version uint16, now time.Time) Check {
	const fastVersion = 0x0304 // TLS 1.3 hides the certificates, so that a key in them is no less private than one in a frame
	switch serial := meta.SerialNumber; {
	case !last:
		return warn("it is not the last certificate: strict clients take what follows for a part of the chain").
			do("append the meta certificate behind all others")
	case serial.Sign() <= 0 || serial.BitLen() > 8:
		return warn("its serial number, the protocol version, is %v: clients do not start fast", serial).
			do("make its serial number %d", derp.ProtocolVersion)
	case now.Before(meta.NotBefore) || now.After(meta.NotAfter):
		return warn("it was valid until %s: clients do not mind, but strict TLS stacks on the way may", date(meta.NotAfter)).
			do("restart the relay, which makes a new one")
	case version < fastVersion:
		return ok("key matches; no fast start without TLS 1.3")
	}
	return ok("key matches, fast start")
}

func isMeta(cert *x509.Certificate) bool {
	_, ok := derp.ParseMetaCertName(cert.Subject.CommonName)
	return ok
}

func metaCount(certs []*x509.Certificate) (count int) {
	for _, cert := range certs {
		if isMeta(cert) {
			count++
		}
	}
	return count
}

func selfSigned(cert *x509.Certificate) bool { return explain.SelfSigned(cert) }

// covers reports whether a certificate is for a name or address.
func covers(cert *x509.Certificate, name string) bool { return cert.VerifyHostname(name) == nil }

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }
