package probe

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/detour-relay/detour/internal/explain"
)

const (
	renewRemedy = "renew it and have the relay load it, and see why that did not happen by itself; or correct this clock if it is wrong"
	clockRemedy = "correct this clock if it is wrong, or else that of who issued the certificate"
)

// way is what errors on the way to the relay are explained by.
func (n *node) way() *explain.Way {
	return &explain.Way{
		Host: n.host, Node: n.node != nil, Plain: !n.useTLS,
		CA: n.dial.RootCAs != nil, Pin: n.pinned(), CertName: n.dial.CertName != "" && !n.pinned(),
		Words: n.run.cfg.Words.Words, Now: time.Now(),
	}
}

func (n *node) explain(err error) explain.Finding { return explain.Explain(err, *n.way()) }

// leastRSA is what OpenSSL's usual level of security asks for.
const leastRSA = 2048

// weakness says who refuses a certificate that this client accepts. Browsers never
// see a pinned one.
func weakness(cert *x509.Certificate, pinned bool) (what, remedy string) {
	const ask = "issue one with an ECDSA key (P-256), or RSA of 2048 bits"
	switch k := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < leastRSA {
			return fmt.Sprintf("its RSA key has %d bits, which OpenSSL and browsers refuse", bits), ask
		}
	case ed25519.PublicKey:
		if !pinned {
			return "its key is Ed25519, which browsers refuse", ask
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			return "its key is on P-224, which most clients do not know", ask
		}
	}
	switch cert.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.MD5WithRSA:
		return fmt.Sprintf("it is signed with %v, which clients refuse", cert.SignatureAlgorithm), "issue it anew with SHA-256"
	}
	return "", ""
}

// span writes a time in the unit that fits it.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d/day))
}
