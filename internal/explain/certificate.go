package explain

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/issuers"
	"github.com/detour-relay/detour/internal/pin"
)

// certificate is about certificates that are not accepted.
func (w *Way) certificate(err error) (Finding, bool) {
	unknown, isUnknown := errors.AsType[x509.UnknownAuthorityError](err)
	host, isHost := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, noRoots := errors.AsType[x509.SystemRootsError](err)
	switch {
	case errors.Is(err, pin.ErrNotAlone):
		return Finding{Certificate, "serve the pinned certificate without intermediates, or take the pin out and let authorities vouch for it"}, true
	case errors.Is(err, client.ErrPinMismatch), errors.Is(err, pin.ErrMismatch):
		return Finding{Certificate, fmt.Sprintf("compare %s with the pin that the relay prints at start; "+
			"if they differ, somebody else answers for it", w.Words.CertName)}, true
	case isInvalid && invalid.Reason == x509.Expired:
		return Finding{Clock, ClockText(invalid.Cert, w.now()) + ": " + w.clockRemedy(invalid.Cert)}, true
	case isInvalid:
		return Finding{Certificate, w.invalidRemedy(invalid)}, true
	case isHost:
		return Finding{Certificate, w.NameRemedy(host.Certificate, host.Host)}, true
	case isUnknown && unknown.Cert != nil:
		return Finding{Certificate, w.IssuerRemedy(unknown.Cert)}, true
	case noRoots:
		return Finding{Certificate, fmt.Sprintf("this machine has no list of authorities: install ca-certificates, or say with %s whom to trust",
			w.Words.CA)}, true
	case errors.Is(err, client.ErrCertificate), isUnknown:
		return Finding{Certificate, w.trustRemedy(nil)}, true
	}
	return Finding{}, false
}

// Dates are said to the minute, in UTC, as are those of the clock.
const dateFormat = "2006-01-02 15:04 UTC"

func date(t time.Time) string { return t.UTC().Format(dateFormat) }

// ClockText says what a certificate's dates and this machine's clock say; it is for
// a certificate that is not valid now.
func ClockText(cert *x509.Certificate, now time.Time) string {
	dates := fmt.Sprintf("%s ended on %s", Subject(cert), date(cert.NotAfter))
	if now.Before(cert.NotBefore) {
		dates = fmt.Sprintf("%s begins on %s", Subject(cert), date(cert.NotBefore))
	}
	return fmt.Sprintf("%s, and the clock of this machine says %s", dates, date(now))
}

func (w *Way) clockRemedy(cert *x509.Certificate) string {
	switch {
	case w.now().Before(cert.NotBefore):
		return "correct this clock if it is wrong, or else that of who issued the certificate"
	case w.Pin:
		return "have the relay make a new one and take its new pin, or correct this clock if it is wrong"
	}
	return "renew the certificate and have it loaded, or correct this clock if it is wrong"
}

func (w *Way) now() time.Time {
	if w.Now.IsZero() {
		return time.Now()
	}
	return w.Now
}

// Subject names a certificate by what it is for.
func Subject(cert *x509.Certificate) string {
	switch {
	case cert.IsCA && !SelfSigned(cert) && cert.Subject.CommonName != "":
		return fmt.Sprintf("the authority's certificate %.100q", cert.Subject.CommonName)
	case len(cert.DNSNames) > 0:
		return fmt.Sprintf("the certificate for %.100s", cert.DNSNames[0])
	case cert.Subject.CommonName != "":
		return fmt.Sprintf("the certificate %.100q", cert.Subject.CommonName)
	}
	return "the certificate"
}

// NameRemedy says what to do about a certificate that is not for the name. A pin
// does not help there: the pinned certificate has to be for the host, too, unless
// that is an address.
func (w *Way) NameRemedy(leaf *x509.Certificate, name string) string {
	known := issuers.Of(leaf)
	switch {
	case known.StandsIn():
		return known.Why + ": " + known.Do
	case Nameless(leaf), strings.EqualFold(leaf.Subject.CommonName, name):
		text := fmt.Sprintf("issue the certificate anew with the subject alternative name %s "+
			"(openssl: -addext subjectAltName=%s): the common name does not count", name, sanOf(name))
		if w.Pin {
			text += "; a pinned certificate, too, has to be for the host, unless that is an IP address"
		}
		return text
	case w.Pin:
		return fmt.Sprintf("the pinned certificate is for %s, and has to be for the host, too: write one of these, or an IP address, "+
			"as the host", NamesOf(leaf))
	case w.CertName && w.Node:
		return fmt.Sprintf("the certificate is for %s: correct HostName or CertName of the node, or issue one for %s", NamesOf(leaf), name)
	case w.CertName:
		return fmt.Sprintf("the certificate is for %s: correct %s", NamesOf(leaf), w.Words.CertName)
	case w.Map:
		return fmt.Sprintf("the certificate is for %s: correct the host, or issue one for %s", NamesOf(leaf), name)
	case w.Node:
		return fmt.Sprintf("issue a certificate for %s, or correct HostName or CertName of the node", name)
	}
	return fmt.Sprintf("the certificate is for %s: correct the host, issue one for %s, or give the name to verify with %s",
		NamesOf(leaf), name, w.Words.CertName)
}

// Nameless reports whether a certificate is for nobody, as names count today.
func Nameless(cert *x509.Certificate) bool {
	return len(cert.DNSNames)+len(cert.IPAddresses) == 0
}

func sanOf(name string) string {
	if isAddress(name) {
		return "IP:" + name
	}
	return "DNS:" + name
}

// NamesOf lists what a certificate is for.
func NamesOf(cert *x509.Certificate) string {
	names := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	const shown = 6
	switch {
	case len(names) == 0 && cert.Subject.CommonName != "":
		return fmt.Sprintf("none but the common name %.100q, which does not count", cert.Subject.CommonName)
	case len(names) == 0:
		return "none"
	case len(names) > shown:
		names = append(names[:shown], "…")
	}
	return strings.Join(names, ", ")
}

// SelfSigned reports whether a certificate is its own issuer.
func SelfSigned(cert *x509.Certificate) bool { return bytes.Equal(cert.RawSubject, cert.RawIssuer) }

// IssuerRemedy says what to do about a certificate whose issuer nobody trusts.
func (w *Way) IssuerRemedy(leaf *x509.Certificate) string {
	weak := leaf.SignatureAlgorithm == x509.SHA1WithRSA || leaf.SignatureAlgorithm == x509.ECDSAWithSHA1 ||
		leaf.SignatureAlgorithm == x509.MD5WithRSA
	switch {
	case issuers.Of(leaf) != nil:
		return issuers.Of(leaf).Why + ": " + w.ForeignRemedy(leaf, issuers.Of(leaf))
	case weak:
		return fmt.Sprintf("it is signed with %v, which nobody accepts any more: issue it anew with SHA-256", leaf.SignatureAlgorithm)
	case w.CA && SelfSigned(leaf):
		return fmt.Sprintf("it is self-signed, and not among %s: add it there%s", w.Words.CA, w.elsePin(leaf))
	case w.CA:
		return fmt.Sprintf("it is issued by %s, which %s does not have: add this authority there, "+
			"and see whether the relay serves its intermediates", issuerName(leaf), w.Words.CA)
	}
	return w.trustRemedy(leaf)
}

// ForeignRemedy says what to do about a certificate of an issuer that is known for
// being trusted by nobody.
func (w *Way) ForeignRemedy(leaf *x509.Certificate, known *issuers.Known) string {
	do := known.Do
	if known.Root != "" && !w.CA {
		do += fmt.Sprintf("; or give its root with %s: %s", w.Words.CA, known.Root)
	}
	if known.Pin && !(w.Map && known.Root != "") {
		do += ", " + w.orPin(leaf, "or pin this one")
	}
	return do
}

// trustRemedy says how to trust a certificate that no known authority vouches for.
func (w *Way) trustRemedy(leaf *x509.Certificate) string {
	switch {
	case w.Map:
		return fmt.Sprintf("no authority that this machine knows vouches for the server: name it with %s, or in SSL_CERT_FILE", w.Words.CA)
	case w.Pin:
		return "see the certificate that the relay has"
	case leaf == nil:
		return fmt.Sprintf("give its issuer with %s, its pin with %s, or %s for a test", w.Words.CA, w.Words.CertName, w.Words.Insecure)
	case w.CertName:
		return fmt.Sprintf("it is issued by %s: give this authority with %s, and see whether the relay serves its intermediates",
			issuerName(leaf), w.Words.CA)
	case SelfSigned(leaf):
		return fmt.Sprintf("it is self-signed: if the relay prints the pin %s at start, give that with %s; or %s for a test",
			pin.Of(leaf), w.Words.CertName, w.Words.Insecure)
	}
	return fmt.Sprintf("it is issued by %s: see whether the relay serves its intermediates (fullchain.pem); if this authority is your own, "+
		"give its issuer with %s, its pin with %s, or %s for a test", issuerName(leaf), w.Words.CA, w.Words.CertName, w.Words.Insecure)
}

// orPin offers a pin to who has given none, and may.
func (w *Way) orPin(leaf *x509.Certificate, text string) string {
	if w.Map {
		return "or name its issuer with " + w.Words.CA
	}
	return fmt.Sprintf("%s: %s in %s", text, pin.Of(leaf), w.Words.CertName)
}

func (w *Way) elsePin(leaf *x509.Certificate) string {
	if w.Map || w.CertName {
		return ""
	}
	return fmt.Sprintf(", or leave that out and give its pin with %s: %s", w.Words.CertName, pin.Of(leaf))
}

func issuerName(leaf *x509.Certificate) string {
	switch {
	case SelfSigned(leaf):
		return "nobody but itself"
	case leaf.Issuer.CommonName != "":
		return fmt.Sprintf("%.100q", leaf.Issuer.CommonName)
	}
	return fmt.Sprintf("%.100q", leaf.Issuer.String())
}

// invalidRemedy is about certificates that no dates and no trust can mend.
func (w *Way) invalidRemedy(invalid x509.CertificateInvalidError) string {
	subject := "the certificate"
	if invalid.Cert != nil {
		subject = Subject(invalid.Cert)
	}
	switch invalid.Reason {
	case x509.NotAuthorizedToSign:
		return fmt.Sprintf("%s has issued another without being an authority (basicConstraints CA:TRUE): issue it anew", subject)
	case x509.TooManyIntermediates:
		return "an authority allows fewer intermediates below it (pathlen): issue the certificate higher up"
	case x509.IncompatibleUsage, x509.CANotAuthorizedForExtKeyUsage:
		return fmt.Sprintf("%s is not for servers: issue it with extendedKeyUsage=serverAuth", subject)
	case x509.CANotAuthorizedForThisName, x509.TooManyConstraints, x509.UnconstrainedName, x509.NameConstraintsWithoutSANs:
		return "an authority of the chain may not issue for this name (nameConstraints): take another authority or name"
	case x509.NameMismatch:
		return "the chain does not fit together, as issuer and subject differ: serve the intermediates of this very certificate"
	}
	return "get a certificate that clients accept: openssl verify says more"
}
